/**
 * Rendezvous hashing: every node computes alone, from the members of a view, who serves an object; when a member
 * leaves, only its objects move.
 *
 * Source    blueprint 4 (rights server of the object).
 */

/** FNV-1a with a final mix; 32 bits. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The candidate with the greatest weight for `key`; the first of equals. */
export function rendezvous<T>(key: string, candidates: readonly T[], nameOf: (candidate: T) => string): T | undefined {
  let best: T | undefined;
  let bestWeight = -1;
  for (const candidate of candidates) {
    const weight = hashOf(`${nameOf(candidate)}/${key}`);
    if (weight > bestWeight) {
      best = candidate;
      bestWeight = weight;
    }
  }
  return best;
}
