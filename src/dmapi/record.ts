/**
 * The record of a file: everything Sluice knows about it, in one trusted attribute `trusted.sluice` changed by one
 * setxattr (safety H4). Beside it the mark `trusted.sluice.mark` (safety C3), which the first writer erases.
 *
 * Units     bytes; times are nanoseconds since 1970 as bigint.
 */
import type { EventSet } from "./events.js";
import type { ManagedRegion } from "./regions.js";

export interface FileRecord {
  /** Grows by one with every change; caches never go back in it (safety C4). */
  readonly generation: number;
  /** "resident": all bytes are in the backing file. "partial": ranges may have been punched; holes may not be true zeros. */
  readonly residency: "resident" | "partial";
  readonly regions: readonly ManagedRegion[];
  /** Own event list; undefined when the object has none and the file system's counts (XDSM 4.3, GPFS rule). */
  readonly eventList?: EventSet;
  /** Opaque DM attributes by 8-byte name as 16 hexadecimal digits. */
  readonly attributes: Readonly<Record<string, Uint8Array>>;
  /** What users see while the file is not resident. */
  readonly virtual?: VirtualStat;
}
export interface VirtualStat {
  readonly size: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** What one atomic change of a record does; absent fields stay. The writer adds one to the generation. */
export interface RecordChange {
  readonly residency?: "resident" | "partial";
  readonly regions?: readonly ManagedRegion[];
  /** null removes the list. */
  readonly eventList?: EventSet | null;
  /** By 16 hexadecimal digits; null removes. */
  readonly attributes?: Readonly<Record<string, Uint8Array | null>>;
  /** "capture": taken from the backing file's stat at the change; "drop": back to the backing's own. */
  readonly virtual?: "capture" | "drop";
}
