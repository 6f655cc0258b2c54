/**
 * Managed regions: byte ranges of a regular file whose reads, writes or truncations raise events.
 *
 * Units     bytes; size 0 means from the offset to infinity.
 * Source    XDSM C429 managed regions; matching as in its conformance suite (rules in docs/dmapi-coverage.md).
 */
export const regionFlags = { none: 0, read: 1, write: 2, truncate: 4 } as const;
export const REGIONS_PER_FILE_MAX = 4096;

export interface ManagedRegion {
  readonly offset: number;
  readonly size: number;
  /** OR of `regionFlags`. */
  readonly flags: number;
}

function endOf(region: ManagedRegion): number {
  return region.size === 0 ? Number.POSITIVE_INFINITY : region.offset + region.size;
}

/** Whether reading or writing [offset, offset+length) raises an event. Zero length never does. */
export function matchesRange(
  regions: readonly ManagedRegion[], flag: number, offset: number, length: number,
): boolean {
  if (length === 0) return false;
  for (const region of regions) {
    if ((region.flags & flag) !== 0 && offset < endOf(region) && offset + length > region.offset) return true;
  }
  return false;
}

/** Whether truncating (or extending) to `size` raises an event: some byte of a region lies at or after it. */
export function matchesTruncate(regions: readonly ManagedRegion[], size: number): boolean {
  for (const region of regions) {
    if ((region.flags & regionFlags.truncate) !== 0 && size < endOf(region)) return true;
  }
  return false;
}
