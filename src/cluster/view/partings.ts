/**
 * Pairs of members of which one says that it does not reach the other, and since when the manager has known it.
 *
 * Who is at fault shows only when the others have spoken too: of a node that dies or freezes one witness tells first, and
 * by its word alone the witness might be the one to go. So a pair counts as parted when it has been so for `settleMs`;
 * until then a proof of death, the end of a lease, or the word of the others decides.
 *
 * Units     milliseconds of the monotonic clock.
 * Source    safety C7 (eviction by published reach).
 */
import type { NodeId } from "../../dmapi/ids.js";

export class Partings {
  readonly #settleMs: number;
  readonly #pairs = new Map<string, { readonly a: NodeId; readonly b: NodeId; readonly sinceMs: number }>();

  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  isParted(a: NodeId, b: NodeId, isConnected: boolean, atMs: number): boolean {
    if (isConnected && this.#pairs.size === 0) return false;
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    if (isConnected) {
      this.#pairs.delete(key);
      return false;
    }
    const known = this.#pairs.get(key);
    if (known !== undefined) return atMs - known.sinceMs >= this.#settleMs;
    this.#pairs.set(key, { a, b, sinceMs: atMs });
    return false;
  }

  /** Of lives that ended or left nothing counts for those that follow them. */
  keep(isSameLife: (id: NodeId) => boolean): void {
    for (const [key, { a, b }] of this.#pairs) if (!isSameLife(a) || !isSameLife(b)) this.#pairs.delete(key);
  }
  forget(): void {
    this.#pairs.clear();
  }

  /** When the next pair counts as parted if nothing changes. */
  deadlineMs(atMs: number): number {
    let dueMs = Infinity;
    for (const { sinceMs } of this.#pairs.values()) if (sinceMs + this.#settleMs > atMs) dueMs = Math.min(dueMs, sinceMs + this.#settleMs);
    return dueMs;
  }
}
