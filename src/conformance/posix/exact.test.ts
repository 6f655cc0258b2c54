/**
 * POSIX on a mount in mode exact, where every read and write reaches the daemon.
 */
import { shareBench } from "../bench.js";
import { testPosix } from "./posix.test-suite.js";

testPosix(shareBench({ nodes: 2, fileSystems: ["fs1"], mode: "exact" }));
