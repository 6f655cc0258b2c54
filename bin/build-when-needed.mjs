// In a checkout the commands are built from src/ the first time, and again when a source is newer; an installed package
// ships dist/ and programs/ and has no src/, so there this does nothing.
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const top = join(dirname(fileURLToPath(import.meta.url)), "..");

function newest(directory) {
  let latest = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return latest;
}

export function buildWhenNeeded() {
  const sources = join(top, "src");
  if (!existsSync(sources) || process.env.SLUICE_NO_BUILD === "1") return;
  const stamp = join(top, "programs", ".built");
  const isFresh = () => existsSync(stamp) && statSync(stamp).mtimeMs >= newest(sources);
  if (isFresh()) return;
  const lock = join(top, ".build-lock");
  for (let waited = 0; waited < 600; waited++) {
    try {
      closeSync(openSync(lock, "wx"));
      break;
    } catch {
      if (existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 60_000) rmSync(lock, { force: true });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      if (isFresh()) return;
    }
  }
  try {
    const typescript = dirname(createRequire(import.meta.url).resolve("typescript/package.json"));
    execFileSync(process.execPath, [join(typescript, "bin", "tsc"), "-p", top], { stdio: ["ignore", 2, 2] });
    execFileSync(process.execPath, [join(top, "scripts", "bundle.mjs")], { stdio: ["ignore", 2, 2] });
  } finally {
    rmSync(lock, { force: true });
  }
}
