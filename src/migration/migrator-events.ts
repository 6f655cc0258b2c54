/**
 * What the migrator does with one event. A user who waits gets the true bytes, or EIO with the reason in the log (ENOSPC when
 * the volume has no room for them): no path through here continues an operation on bytes that are not there.
 *
 * Source    blueprint section 5; requirements R15, R18.
 */
import type { Event } from "../client/events.js";
import { unreachable } from "../base/assert.js";
import { DmError } from "../dmapi/errors.js";
import type { Handle } from "../dmapi/ids.js";
import type { FileMover } from "./file-mover.js";
import { isNoRoom, type MoveFailure } from "./move/steps.js";
import { MOVE_TOKEN_PREFIX } from "./move/executor.js";

export type MigratorLog = (kind: string, fields: Readonly<Record<string, unknown>>) => void;

export class EventHandler {
  readonly #mover: FileMover;
  readonly #log: MigratorLog;
  readonly #serve: (event: Event & { type: "user" }) => Promise<void>;

  constructor(mover: FileMover, log: MigratorLog, serve: (event: Event & { type: "user" }) => Promise<void>) {
    this.#mover = mover;
    this.#log = log;
    this.#serve = serve;
  }

  /** Never rejects: what goes wrong is answered and logged. */
  async handle(event: Event): Promise<void> {
    if (event.notice !== undefined) {
      this.#log("notice", { event: event.type, from: event.node, handledBy: event.notice.handledBy });
      return;
    }
    try {
      await this.#dispatch(event);
    } catch (error) {
      this.#log("answer-failed", { event: event.type, token: event.token, error: (error as Error).message });
    }
  }

  async #dispatch(event: Event): Promise<void> {
    switch (event.type) {
      case "read":
      case "write":
        return this.#bringBack(event, event.handle, false);
      case "truncate":
        return this.#bringBack(event, event.handle, event.offset === 0);
      case "destroy":
        await this.#discardObjectsOf(event.handle);
        return event.continue();
      case "user":
        return this.#userEvent(event);
      case "mount":
        return event.dontCare();
      case "cancel":
        return; // the wait is over; a recall that has begun is finished all the same
      case "create": case "close": case "postcreate": case "remove": case "postremove": case "rename": case "postrename": case "link":
      case "postlink": case "symlink": case "postsymlink": case "preunmount": case "unmount": case "nospace": case "attribute": case "debut":
        return event.continue();
      default:
        return unreachable(event);
    }
  }

  async #bringBack(event: Event, handle: Handle, isEmptied: boolean): Promise<void> {
    const began = performance.now();
    try {
      const outcome = await this.#mover.recall({ handle, token: event.outstanding }, { isEmptied });
      await event.continue();
      this.#log("recall", { event: event.type, from: event.node, handle, outcome: outcome.kind, bytes: outcome.bytes, ms: Math.round(performance.now() - began) });
    } catch (error) {
      await this.#refuse(event, handle, error as MoveFailure);
    }
  }
  async #refuse(event: Event, handle: Handle, failure: MoveFailure): Promise<void> {
    this.#log("recall-failed", { event: event.type, from: event.node, handle, pid: event.process?.pid, code: failure.code, error: failure.message });
    if (!event.isOutstanding || !event.session.connection.isOpen) return;
    try {
      await event.abort(isNoRoom(failure.code) ? failure.code : "EIO");
    } catch (error) {
      const isOver = error instanceof DmError && (error.code === "ESRCH" || error.code === "EINVAL"); // the user was killed meanwhile
      if (!isOver) throw error;
    }
  }

  async #discardObjectsOf(handle: Handle): Promise<void> {
    const { store } = this.#mover.options;
    for (const object of await store.objectsOf(handle)) {
      await store.discard(object, handle, "the file was deleted", Date.now());
      this.#log("discard", { handle, object, reason: "the file was deleted" });
    }
  }

  async #userEvent(event: Event & { type: "user" }): Promise<void> {
    const isLeftOver = Buffer.from(event.data).toString("latin1").startsWith(MOVE_TOKEN_PREFIX);
    if (isLeftOver) return event.continue(); // of a move that died with its migrator: its rights end here
    return this.#serve(event);
  }
}
