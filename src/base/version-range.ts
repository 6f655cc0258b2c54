/**
 * Which versions of a protocol a program speaks, and which one two programs use with each other: the highest that both
 * speak. Where there is none the text says what each speaks and what to do, the same on both sides.
 *
 * Source    docs/decisions/0007-versions-on-the-wire.md.
 */
import { isRecord } from "./shape.js";

export interface VersionRange {
  readonly lowest: number;
  readonly highest: number;
}

export function isVersionRange(value: unknown): value is VersionRange {
  return isRecord(value) && isVersion(value["lowest"]) && isVersion(value["highest"]) && (value["lowest"] as number) <= (value["highest"] as number);
}
function isVersion(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 1_000_000;
}

/** "1" or "1-3". */
export function formatVersions({ lowest, highest }: VersionRange): string {
  return lowest === highest ? String(highest) : `${lowest}-${highest}`;
}
/** What `formatVersions` writes; undefined for anything else. */
export function parseVersions(text: string): VersionRange | undefined {
  const match = /^(\d{1,7})(?:-(\d{1,7}))?$/.exec(text);
  const range = match === null ? undefined : { lowest: Number(match[1]), highest: Number(match[2] ?? match[1]) };
  return isVersionRange(range) ? range : undefined;
}

/** The highest that each of them speaks; undefined when there is none. */
export function commonVersion(...ranges: readonly VersionRange[]): number | undefined {
  const highest = Math.min(...ranges.map((range) => range.highest));
  return ranges.every((range) => range.lowest <= highest) ? highest : undefined;
}

/** Why two of them cannot speak with each other, with the one that has to be upgraded first. */
export function tooFarApart(here: { readonly name: string; readonly speaks: VersionRange }, there: { readonly name: string; readonly speaks: VersionRange }): string {
  const [older, newer] = here.speaks.highest < there.speaks.highest ? [here, there] : [there, here];
  return (
    `${here.name} speaks versions ${formatVersions(here.speaks)} of the protocol, ${there.name} speaks ${formatVersions(there.speaks)}: none in common. ` +
    `Upgrade ${older.name} to a release that speaks version ${newer.speaks.lowest}, or bring ${newer.name} back to one that speaks ${older.speaks.highest}`
  );
}
