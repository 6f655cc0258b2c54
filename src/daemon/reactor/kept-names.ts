/**
 * How long the kernel may keep names and attributes without asking: as long as this node's lease lasts, where nobody else
 * mounts the file system; else not at all.
 *
 * A node that stands still hears of nobody who mounts, so what its kernel keeps ends with the lease, before the others may
 * think that it is gone. Another's mount is waited for: its users are let in when all that was kept here is forgotten.
 *
 * Attributes of a file that has a record are always asked for: an application may change them beneath the kernel. So are
 * those of a file that passes through: stores through its mappings change its times beneath the kernel's own idea of it.
 *
 * Owns      whether anything may be kept, and the forgetting of all of it at once.
 * Not here  who else mounts (cluster/sole-mounts.ts); pages (kernel-pages.ts).
 * Units     milliseconds of the monotonic clock; struct fuse_entry_out has seconds and nanoseconds.
 * Source    blueprint section 6, coherence; safety C6, H7; linux/fuse.h FUSE_NOTIFY_INC_EPOCH (7.44).
 */
import type { Handle } from "../../dmapi/ids.js";
import { beginEpoch } from "../../fuse/codec/notify.js";
import { statxAt } from "../../fuse/codec/reply.js";
import * as device from "../../os/device.js";
import { fileTypes } from "../../os/stat.js";
import type { Stored } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";

export class KeptNames {
  readonly #core: ReactorCore;
  readonly #untilMs: Float64Array | undefined;
  #isSole = false;
  /** The kernel can forget all names at once; one that cannot keeps none. */
  #canForget: boolean | undefined;

  constructor(core: ReactorCore, leaseUntil: SharedArrayBuffer | undefined) {
    this.#core = core;
    this.#untilMs = leaseUntil === undefined ? undefined : new Float64Array(leaseUntil);
  }

  /** Of a name, also of one that is not there. */
  get nameMs(): number {
    if (!this.#isSole || this.#untilMs === undefined) return 0;
    return Math.max(0, this.#untilMs[0]! - Number(process.hrtime.bigint()) / 1e6);
  }

  /** Of an object's attributes; what was looked at before the current task waited may be old. */
  attributesMs(inode: Inode, { statx, stored }: { readonly statx: Uint8Array; readonly stored: Stored | undefined }): number {
    if (this.#core.currentTask.hasWaited || this.#core.backingFiles.mayChangeUnseen(inode)) return 0;
    const isRegular = ((statx[statxAt.mode]! | (statx[statxAt.mode + 1]! << 8)) & fileTypes.mask) === fileTypes.regular;
    return (isRegular ? stored?.record : null) === null ? this.nameMs : 0;
  }

  set isSole(isSole: boolean) {
    this.#canForget ??= this.#beginEpoch();
    this.#isSole = isSole && this.#canForget;
    if (!isSole) this.forget();
  }

  /** Names are looked up anew at their next use, attributes asked for again. Waits for nothing. */
  forget(): void {
    if (this.#canForget !== true) return;
    this.#beginEpoch();
    for (const inode of this.#core.inodes) if (inode.lookups > 0) this.#core.pages.expireAttributes(inode);
  }

  /** An application, here or elsewhere, changed the object. */
  changedBeneath(handle: Handle): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode !== undefined && inode.lookups > 0) this.#core.pages.expireAttributes(inode);
  }

  #beginEpoch(): boolean {
    const message = beginEpoch();
    return device.write(this.#core.options.fuseFd, message, 0, message.length) >= 0;
  }
}
