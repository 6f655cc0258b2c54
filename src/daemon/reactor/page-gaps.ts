/**
 * What is left of a range of a file when the pages being filled are taken out.
 *
 * The kernel locks a whole window of readahead (and whole large folios) before it asks for the first part of it, so pages
 * beside a fill may be locked though no request for them has come yet.
 *
 * Units     bytes; a length of 0 means to the end of the file, as in the kernel's notification.
 */
/** As much as the kernel reads ahead at the most. */
export const WINDOW = 128 * 1024;

export interface Gap {
  readonly offset: number;
  readonly length: number;
}

export function gapsBetween(fills: Iterable<{ readonly offset: number; readonly size: number }>, offset: number, length: number): Gap[] {
  const end = length === 0 ? Number.POSITIVE_INFINITY : offset + length;
  const locked = [...fills]
    .map((fill) => ({ from: fill.offset - WINDOW, to: fill.offset + fill.size + WINDOW }))
    .sort((a, b) => a.from - b.from);
  const gaps: Gap[] = [];
  let at = offset;
  for (const { from, to } of locked) {
    if (to <= at) continue;
    if (from >= end) break;
    if (from > at) gaps.push({ offset: at, length: from - at });
    at = to;
  }
  if (at < end) gaps.push({ offset: at, length: end === Number.POSITIVE_INFINITY ? 0 : end - at });
  return gaps;
}
