/**
 * What the keepers of one file system say to each other about what their kernels keep (keeping.ts). Each pair hears each
 * other in order, and only as lives of one view (stream.ts).
 *
 * Objects are named by the text of their own handle, which is the same on every node.
 */
export type KeepingWord =
  /** "My kernel would keep these; do you permit it?" `serial` names the question: an answer to a former one says nothing. */
  | { readonly kind: "keep-wanted"; readonly serial: number; readonly objects: readonly string[] }
  /** "Keep them; I ask you before I change one." */
  | { readonly kind: "keep-granted"; readonly serial: number; readonly objects: readonly string[] }
  /** "My kernel has forgotten these by itself", or everything. */
  | { readonly kind: "keep-ended"; readonly objects: readonly string[] | "all" }
  /** "I am about to change these: forget them." */
  | { readonly kind: "drop-wanted"; readonly drop: number; readonly objects: readonly string[] }
  /** "Forgotten", and perhaps more than was asked for. */
  | { readonly kind: "drop-done"; readonly drop: number; readonly objects: readonly string[] };
