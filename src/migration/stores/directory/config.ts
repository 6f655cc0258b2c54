/**
 * A directory store's settings and where it may not lie: below a managed mount its objects would be migrated into
 * themselves, below a backing directory they would be seen as files.
 *
 * Source    safety H15.
 */
import { mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import { StoreError } from "../store.js";

export interface DirectoryStoreConfig {
  readonly directory: string;
  /** Mount points and backing directories of managed file systems. */
  readonly forbidden: readonly string[];
}

/** The real directory, made when absent. @throws StoreError EINVAL */
export function checkedDirectory(config: DirectoryStoreConfig): string {
  mkdirSync(config.directory, { recursive: true, mode: 0o700 });
  const real = realpathSync(config.directory);
  for (const place of config.forbidden) {
    if (isBelow(realOf(place), real)) throw new StoreError("EINVAL", `the store ${real} lies below ${place}, which is managed: choose a directory outside`);
  }
  const mount = mountOf(real, readFileSync("/proc/self/mountinfo", "utf8"));
  if (mount !== undefined && /^fuse\.sluice/.test(mount.type)) throw new StoreError("EINVAL", `the store ${real} lies in the managed mount ${mount.point}`);
  const { mode, uid } = statSync(real);
  if ((mode & 0o077) !== 0 || uid !== (process.getuid?.() ?? uid)) {
    throw new StoreError("EINVAL", `the store ${real} has mode ${(mode & 0o7777).toString(8)}, owner ${uid}: it must be private (chmod 700) to whoever runs the migrator`);
  }
  return real;
}

/** The mount a path lies in, from the text of /proc/self/mountinfo: the longest point, the last one when stacked. */
export function mountOf(file: string, mountinfo: string): { point: string; type: string } | undefined {
  let found: { point: string; type: string } | undefined;
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const point = before?.split(" ")[4]?.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const type = after?.split(" ")[0];
    if (point === undefined || type === undefined || !isBelow(point, file)) continue;
    if (found === undefined || point.length >= found.point.length) found = { point, type };
  }
  return found;
}
export function isBelow(directory: string, file: string): boolean {
  const relative = path.relative(directory, file);
  return relative === "" || (!relative.startsWith("..") && !path.isAbsolute(relative));
}
/** Without touching a mount point that may be dead: only its parent is resolved. */
function realOf(place: string): string {
  try {
    return path.join(realpathSync(path.dirname(place)), path.basename(place));
  } catch {
    return place;
  }
}
