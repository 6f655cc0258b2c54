/**
 * Records as the reactor reads them from the volume, for admission; and the syncing of data that a round asks for.
 *
 * Not here  what a record lets pass (cluster/admission), how it is stored (volume/record.ts).
 * Source    safety C3, C4.
 */
import type { AdmissionEffect } from "../../cluster/admission/operation.js";
import type { Handle } from "../../dmapi/ids.js";
import { errno } from "../../os/errno.js";
import * as files from "../../os/files.js";
import { backingCalls, type Stored } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import { type Steps, Task } from "./task.js";

export class Records {
  readonly #core: ReactorCore;

  constructor(core: ReactorCore) {
    this.#core = core;
  }

  load(handle: Handle): void {
    const inode = this.#core.inodes.byHandle(handle);
    if (inode === undefined) return this.#core.step({ kind: "record-failed", handle, code: "ESTALE" });
    // The attribute is the same one; by an open descriptor the kernel finds it at once, and without walking a path.
    if (this.#core.isLocal && inode.reader !== undefined) return this.#loaded(inode, handle, backingCalls.loadRecordOfOpen(inode.reader.fd, inode.own, this.#core.metaFd));
    const task = new Task(undefined, "record");
    this.#core.useInode(task, inode);
    this.#core.start(task, this.#load(inode, handle));
  }
  *#load(inode: Inode, handle: Handle): Steps {
    this.#loaded(inode, handle, yield* this.#storedOf(inode));
    return undefined;
  }
  #loaded(inode: Inode, handle: Handle, stored: Stored | number): void {
    if (typeof stored === "number") {
      this.#core.count("records that could not be read");
      this.#core.step({ kind: "record-failed", handle, code: stored === -errno.ESTALE ? "ESTALE" : "EIO" });
    } else this.known(inode, stored, "record-loaded");
  }
  *#storedOf(inode: Inode): Steps<Stored | number> {
    const fd = yield* this.#core.pathFd(inode);
    return fd < 0 ? fd : yield* this.#core.call("loadRecord", fd, inode.own, this.#core.metaFd);
  }
  /** A record read from the volume, which admission is to go by. */
  known(inode: Inode, { record, generation }: Stored, kind: "record-loaded" | "record-seen" = "record-seen"): void {
    if (generation >= inode.generation) inode.generation = generation;
    this.#core.step({ kind, handle: this.#core.handleOf(inode), record, stored: generation });
  }
  /** One that came along with something else: taken over where admission has an older one. */
  seen(inode: Inode, stored: Stored | undefined): void {
    if (stored === undefined || inode.handle === undefined || inode.generation < 0 || stored.generation <= inode.generation) return;
    if (this.#core.admission.recordOf(inode.handle) !== undefined) this.known(inode, stored);
  }
  sync(effect: Extract<AdmissionEffect, { kind: "sync-data" }>): void {
    const task = new Task(undefined, "flush");
    const inode = this.#core.inodes.byHandle(effect.handle);
    if (inode !== undefined) this.#core.useInode(task, inode);
    this.#core.start(task, this.#syncAll(inode, effect));
  }
  *#syncAll(inode: Inode | undefined, effect: Extract<AdmissionEffect, { kind: "sync-data" }>): Steps {
    // What the kernel writes by itself is synced by the descriptor it was given; while that was an earlier daemon's the guard on it keeps everybody else away.
    for (const own of inode === undefined ? [] : [this.#core.guards.fdOf(inode), this.#core.backingFiles.fdOf(inode)]) {
      const fd = own < 0 ? own : files.dup(own);
      if (fd < 0) continue;
      yield* this.#core.callAside("sync", fd, true);
      this.#core.closeLater(fd);
    }
    this.#core.step({ kind: "data-synced", handle: effect.handle, round: effect.round, from: effect.from });
    return undefined;
  }
}
