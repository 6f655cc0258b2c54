/**
 * What the lease machine asks of the volume, one call at a time, and what comes back. The driver performs them with plain
 * synchronous file calls; the simulator on its modelled volume.
 *
 * Units     paths are relative to the coordination directory; milliseconds of this machine's monotonic clock.
 * Source    safety C8, H13.
 */
export type VolumeCall =
  | { readonly kind: "list"; readonly directory: string }
  /** Of a whole small file. */
  | { readonly kind: "read"; readonly path: string }
  /** Synced before it returns. `isNew` fails with EEXIST; else in place, never shortening the file. */
  | { readonly kind: "write"; readonly path: string; readonly text: string; readonly isNew: boolean }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "link"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink"; readonly path: string }
  | { readonly kind: "sync-directory"; readonly directory: string }
  /** Whether another process holds the identity lock (F_OFD_GETLK). */
  | { readonly kind: "test-lock"; readonly path: string };

export type VolumeAnswer =
  | { readonly kind: "done" }
  | { readonly kind: "names"; readonly names: readonly string[] }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "lock"; readonly isHeld: boolean }
  /** `code` is the errno's name. The call may have taken effect all the same. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

/** A call that has come back. `startMs` was read before it was issued, `endMs` after it returned. */
export interface CallDone {
  readonly answer: VolumeAnswer;
  readonly startMs: number;
  readonly endMs: number;
}
