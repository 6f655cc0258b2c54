import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const THREADS = 40;

test("a side thread may be ended at any moment of its beginning, and the process goes on", () => {
  const script = `void (async () => {
    const { SideWorker } = await import(process.argv[1]);
    const { MessageChannel } = require("node:worker_threads");
    const fd = require("node:fs").openSync("/dev/null", "r+");
    for (let number = 0; number < ${THREADS}; number++) {
      const { port1, port2 } = new MessageChannel();
      const side = new SideWorker({ port: port2, wakeFd: fd, fuseFd: fd, isAlone: false, over: new SharedArrayBuffer(4) });
      await new Promise((resolve) => setTimeout(resolve, 20 + (number * 7) % 100));
      await side.end();
      port1.close();
      console.log(number);
    }
  })();`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["-e", script, new URL("./side-worker.js", import.meta.url).href], { encoding: "utf8" });
  assert.deepEqual({ status, signal, ended: stdout.trim().split("\n").length }, { status: 0, signal: null, ended: THREADS }, stderr);
});
