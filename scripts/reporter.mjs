// A node:test reporter for scripts/test.mjs: one JSON line per finished test, so that files can be counted together.
// A suite counts only when it fails by itself (a hook, a file that does not load), never beside its own tests.
// What a test notes for people (`t.diagnostic("note: ...")`) is passed on. At its end a file says what processor time it took, with that of the daemons and programs it started and waited for.
import { readFileSync, writeSync } from "node:fs";

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux

export default async function* report(source) {
  process.on("exit", () => {
    try {
      writeSync(1, `${JSON.stringify({ name: "", cpuSeconds: processorSeconds() })}\n`);
    } catch {
      // Whoever read the results is gone.
    }
  });
  for await (const { type, data } of source) {
    if (type === "test:diagnostic" && data.message.startsWith("note: ")) yield `${JSON.stringify({ name: "", note: data.message.slice(6) })}\n`;
    if (type !== "test:pass" && type !== "test:fail") continue;
    const error = data.details?.error;
    if (error?.failureType === "subtestsFailed") continue;
    if (data.details?.type === "suite" && type === "test:pass") continue;
    const isSkipped = data.skip !== undefined && data.skip !== false;
    const line = {
      name: data.name,
      isPassed: type === "test:pass",
      skip: isSkipped ? String(data.skip === true ? "skipped" : data.skip) : undefined,
      ms: Math.round(data.details?.duration_ms ?? 0),
      error: type === "test:fail" ? describe(error) : undefined,
    };
    yield `${JSON.stringify(line)}\n`;
  }
}

function describe(error) {
  const cause = error?.cause ?? error;
  return String(cause?.stack ?? cause?.message ?? cause).slice(0, 6000);
}

/** User and system time of this process and of every child it has waited for. proc(5): fields 14 to 17 of stat. */
function processorSeconds() {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}
