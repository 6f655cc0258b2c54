/**
 * T0 in mode fast.
 */
import { testCoherence } from "./coherence.test-suite.js";

testCoherence("fast");
