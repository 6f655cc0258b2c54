/**
 * T0 in mode fast; in mode exact it shares the cluster of events.test.ts.
 */
import { shareBench } from "./bench.js";
import { testCoherence } from "./coherence.test-suite.js";

testCoherence("fast", shareBench({ nodes: 3, fileSystems: ["fs1"], mode: "fast" }));
