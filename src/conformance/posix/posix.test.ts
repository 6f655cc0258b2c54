/**
 * POSIX on a mount in mode fast.
 */
import { shareBench } from "../bench.js";
import { testPosix } from "./posix.test-suite.js";

testPosix(shareBench({ nodes: 2, fileSystems: ["fs1"] }));
