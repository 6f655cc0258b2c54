/**
 * POSIX on a mount in mode fast.
 */
import { offersPassthrough } from "../../cli/doctor.js";
import { shareBench } from "../bench.js";
import { groundOf, testPosix } from "./posix.test-suite.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
/** Of files that pass through to the kernel reads, writes and mappings are the backing file's own. */
const optional = ["times-of-mapped-stores", "access-by-mapping", "direct-alignment", "spliced-pages", "times-of-refusals", "no-wait", "noatime-open"];
testPosix(() => groundOf(bench()), { hasLarge: true, optional: offersPassthrough() ? optional : [] });
