/**
 * POSIX on a mount in mode exact, where every read and write reaches the daemon.
 */
import { shareBench } from "../bench.js";
import { groundOf, testPosix } from "./posix.test-suite.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"], mode: "exact" });
testPosix(() => groundOf(bench()));
