/**
 * POSIX on a mount whose backing may take its time, so that every call of it is made in a worker: as over NFS, on the disk at
 * hand. Of the daemon only the reactors run.
 */
import { join } from "node:path";
import { after, before } from "node:test";
import { Bench, type BenchMount } from "../../daemon/reactor/harness.js";
import { whyNot } from "../bench.js";
import { testPosix } from "./posix.test-suite.js";

let bench: Bench | undefined;
let mounts: BenchMount[] = [];
before(async () => {
  if (whyNot !== undefined) return;
  bench = new Bench();
  mounts = [await bench.mount({ isRemote: true }), await bench.mount({ isRemote: true })];
});
after(() => bench?.close());
testPosix(() => ({ bare: join(bench!.directory, "bare"), backing: bench!.backing, a: mounts[0]!.mountpoint, b: mounts[1]!.mountpoint }));
