/**
 * Which event the regions of a file ask for before an operation touches its data.
 *
 * Not here  events by event list (admission.ts), the regions' own rules (dmapi/regions.ts).
 * Source    XDSM 3.5, 6.2, 6.5; safety C5, C6.
 */
import type { EventType } from "../../dmapi/events.js";
import type { FileRecord } from "../../dmapi/record.js";
import { matchesRange, matchesTruncate, regionFlags } from "../../dmapi/regions.js";
import type { PreEvent } from "./operation.js";

export type RegionEvent = Extract<PreEvent, { kind: "data" | "open-for-write" }>;
/** As cached: null when the file has none, undefined when nobody has looked. */
type Cached = FileRecord | null | undefined;

/** The event's type when it is due. A write-back asks only for bytes that are not there. */
export function dueType(record: Cached, event: RegionEvent, isWriteback: boolean): EventType | undefined {
  if (record === null || record === undefined) return undefined;
  const { regions } = record;
  if (event.kind === "open-for-write") {
    const hasWriteRegion = regions.some((region) => (region.flags & regionFlags.write) !== 0);
    return record.residency === "partial" && hasWriteRegion ? "write" : undefined;
  }
  if (event.type === "truncate") return matchesTruncate(regions, event.offset) ? "truncate" : undefined;
  if (isWriteback) {
    if (record.residency === "resident") return undefined;
    if (matchesRange(regions, regionFlags.write, event.offset, event.length)) return "write";
    return matchesRange(regions, regionFlags.read, event.offset, event.length) ? "read" : undefined;
  }
  return matchesRange(regions, regionFlags[event.type], event.offset, event.length) ? event.type : undefined;
}

/**
 * Still due after CONTINUE: bytes that are not there cannot be given; an observer's region may stay (XDSM 6.5). A truncation
 * to nothing needs no byte, but goes by what was answered for this very record: a file that was brought back and moved away
 * again meanwhile would be left with an object of another size. `raisedUnder`: the record's generation when it was raised.
 */
export function mustRepeat(record: Cached, event: PreEvent, raisedUnder: number): boolean {
  if (event.kind !== "data" || record?.residency !== "partial") return false;
  return event.type !== "truncate" || event.offset > 0 || record.generation > raisedUnder;
}
