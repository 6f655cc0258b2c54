// A node:test reporter for scripts/test.mjs: one JSON line per finished test, so that files can be counted together.
// A suite counts only when it fails by itself (a hook, a file that does not load), never beside its own tests.
export default async function* report(source) {
  for await (const { type, data } of source) {
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
