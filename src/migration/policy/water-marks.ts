/**
 * When to free space, and which files first. Pure: usage and candidates come in, decisions go out.
 *
 * Above the high mark files are migrated, coldest first, until usage is at or below the low mark. Cold: neither read nor
 * changed for long; among equally cold ones the larger frees more at the price of one event.
 *
 * Units     percent of what ordinary users can fill, as df(1) counts it; bytes.
 */
export interface WaterMarks {
  readonly high: number;
  readonly low: number;
}
export interface Usage {
  readonly totalBytes: number;
  /** Free for ordinary users. */
  readonly availableBytes: number;
  readonly usedBytes: number;
}
export interface Candidate {
  readonly path: Buffer;
  readonly size: number;
  /** What migrating it frees. */
  readonly allocatedBytes: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
}
export interface CandidateRules {
  readonly sizeMin: number;
  /** Not touched for so long. */
  readonly ageMinMs: number;
}
export const defaultRules: CandidateRules = { sizeMin: 4096, ageMinMs: 0 };

/** What is wrong with a pair of marks, or undefined. */
export function faultOfMarks(marks: WaterMarks): string | undefined {
  const areNumbers = [marks.high, marks.low].every((mark) => Number.isFinite(mark) && mark >= 0 && mark <= 100);
  if (!areNumbers) return `water marks are percentages from 0 to 100, found high ${marks.high}, low ${marks.low}`;
  return marks.low > marks.high ? `the low mark (${marks.low}) lies above the high one (${marks.high})` : undefined;
}
export function usedPercent(usage: Usage): number {
  const reachable = usage.usedBytes + usage.availableBytes;
  return reachable <= 0 ? 0 : (100 * usage.usedBytes) / reachable;
}
/** Bytes to free now: 0 unless usage is above the high mark (100/100 never frees). */
export function bytesToFree(usage: Usage, marks: WaterMarks): number {
  if (usedPercent(usage) <= marks.high) return 0;
  return bytesAboveLow(usage, marks);
}
/** While freeing: what is still missing to the low mark. */
export function bytesAboveLow(usage: Usage, marks: WaterMarks): number {
  const reachable = usage.usedBytes + usage.availableBytes;
  return Math.max(0, Math.ceil(usage.usedBytes - (reachable * marks.low) / 100));
}

export function isCandidate(candidate: Candidate, rules: CandidateRules, nowMs: number): boolean {
  if (candidate.size < rules.sizeMin || candidate.allocatedBytes === 0) return false;
  return nowMs - lastTouchMs(candidate) >= rules.ageMinMs;
}
function lastTouchMs(candidate: Candidate): number {
  return Math.max(candidate.atimeMs, candidate.mtimeMs);
}

/** The coldest candidates that together free so much, in the order in which to migrate them. */
export function chooseCandidates(candidates: readonly Candidate[], bytes: number, rules: CandidateRules, nowMs: number): Candidate[] {
  const DAY_MS = 86_400_000;
  const daysCold = (candidate: Candidate) => Math.floor((nowMs - lastTouchMs(candidate)) / DAY_MS);
  const ordered = candidates
    .filter((candidate) => isCandidate(candidate, rules, nowMs))
    .sort((a, b) => daysCold(b) - daysCold(a) || b.allocatedBytes - a.allocatedBytes || Buffer.compare(a.path, b.path));
  const chosen: Candidate[] = [];
  let freed = 0;
  for (const candidate of ordered) {
    if (freed >= bytes) break;
    chosen.push(candidate);
    freed += candidate.allocatedBytes;
  }
  return chosen;
}
