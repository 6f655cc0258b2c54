/**
 * POSIX on a mount in mode fast.
 */
import { shareBench } from "../bench.js";
import { groundOf, testPosix } from "./posix.test-suite.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
testPosix(() => groundOf(bench()), { hasLarge: true });
