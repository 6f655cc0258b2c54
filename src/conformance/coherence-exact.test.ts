/**
 * T0 in mode exact.
 */
import { testCoherence } from "./coherence.test-suite.js";

testCoherence("exact");
