/**
 * What stands before every call on an object: is the session hosted here, is the handle one of an attached file
 * system, does the token exist and hold the right that the call needs. Without a token the call takes the right it
 * needs and gives it back when it ends.
 *
 * Source    XDSM C429; xdsm 0.3 (SID, HAN, TOK, RGT), 5.2, 7.3, 7.8.
 */
import type { DmCode } from "../../dmapi/errors.js";
import { GLOBAL_HANDLE, parseHandle } from "../../dmapi/handle.js";
import type { FsName, Handle, SessionId, Token } from "../../dmapi/ids.js";
import type { FileRecord } from "../../dmapi/record.js";
import { isAtLeast, type Right } from "../../dmapi/rights.js";
import type { AttachedFileSystems } from "../attached-file-systems.js";
import type { RightsClient } from "../rights/rights-client.js";
import type { SessionNode } from "../session-node/session-node.js";
import type { Surroundings } from "../surroundings.js";
import type { Call, CallDesk } from "./call-desk.js";

export interface ObjectCallRules {
  /** What a token must hold. */
  readonly token: Right;
  /** What is taken for the call when there is no token; reads of one atomic state need none. */
  readonly own: Right;
  readonly takesFsHandle?: boolean;
  /** Data movement: from any node, as long as no token is involved (xdsm 7.3). */
  readonly isAnywhere?: boolean;
}
export interface ObjectArguments {
  readonly session: SessionId;
  readonly handle: Handle;
  readonly token?: Token | undefined;
}
/** The object may be worked on until `end`. */
export interface Lease {
  readonly fs: FsName;
  readonly end: () => void;
}

export class ObjectGate {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #host: SessionNode;
  readonly #rights: RightsClient;
  readonly #attached: AttachedFileSystems;

  constructor(parts: { here: Surroundings; desk: CallDesk; host: SessionNode; rights: RightsClient; attached: AttachedFileSystems }) {
    this.#here = parts.here;
    this.#desk = parts.desk;
    this.#host = parts.host;
    this.#rights = parts.rights;
    this.#attached = parts.attached;
  }

  /** Name under which a token's rights stand at the rights server, whichever session it belongs to. */
  holderOf(token: Token): string {
    return `${this.#here.me}.${this.#here.incarnation}.t${token}`;
  }

  /** Runs `enter` with the object, or refuses the call. */
  pass(call: Call, args: ObjectArguments, rules: ObjectCallRules, enter: (lease: Lease) => void): void {
    const fs = this.#fsOf(call, args.handle, rules.takesFsHandle === true);
    if (fs === undefined) return;
    const isFs = parseHandle(args.handle)?.type === "fs";
    const isFromAnywhere = args.token === undefined && (isFs || rules.isAnywhere === true);
    if (!this.#isSessionFit(call, args.session, isFromAnywhere)) return;
    if (isFs) {
      if (args.token !== undefined) return this.#refuse(call, "EINVAL", "a file-system handle is used without a token");
      return enter({ fs, end: () => undefined });
    }
    if (args.token !== undefined) {
      if (this.#isTokenStrong(call, { ...args, token: args.token }, rules.token)) enter({ fs, end: () => undefined });
      return;
    }
    if (rules.own === "null") return enter({ fs, end: () => undefined });
    this.#enterWithOwnRight(call, { fs, handle: args.handle, right: rules.own }, enter);
  }

  /** For calls on rights: a token that is outstanding here, and an object handle. */
  passToken(call: Call, args: { session: SessionId; handle: Handle; token: Token }): FsName | undefined {
    const fs = this.#fsOf(call, args.handle, false);
    if (fs === undefined || !this.#isSessionFit(call, args.session, false)) return undefined;
    return this.#isOutstanding(call, args) ? fs : undefined;
  }

  /** After a wait: a token may have been answered, or have given its right up, meanwhile. False: refused. */
  mayGoOn(call: Call, args: ObjectArguments, rules: ObjectCallRules): boolean {
    return args.token === undefined || parseHandle(args.handle)?.type === "fs" || this.#isTokenStrong(call, { ...args, token: args.token }, rules.token);
  }

  /** Whether every member knows that the object has a record decides who must be fenced for a right on it; undefined when the call has ended. */
  readRecord(call: Call, of: { fs: FsName; handle: Handle }, then: (isManaged: boolean | undefined) => void): void {
    this.#desk.job({ kind: "read-record", ...of }, (result) => {
      if (result.kind === "failed") this.#refuse(call, result.failure.code, result.failure.message);
      then(result.kind === "ok" && this.#desk.isOpen(call.call) ? isKnownEverywhere(result.record) : undefined);
    });
  }

  #enterWithOwnRight(call: Call, of: { fs: FsName; handle: Handle; right: Right }, enter: (lease: Lease) => void): void {
    this.readRecord(call, of, (isManaged) => {
      if (isManaged === undefined) return;
      const holder = `${this.#here.me}.${this.#here.incarnation}.c${call.call}`;
      const wish = { ...of, holder, wait: true, isUpgrade: false, isManaged };
      const wanted = this.#rights.request(wish, (failure) => {
        if (failure !== undefined) return this.#refuse(call, failure.code, failure.message);
        enter({ fs: of.fs, end: () => this.#rights.release(holder, of.handle) });
      });
      this.#desk.whenAbandoned(call.call, wanted.cancel);
    });
  }

  #fsOf(call: Call, handle: Handle, takesFsHandle: boolean): FsName | undefined {
    const refuse = (code: DmCode, message: string) => {
      this.#refuse(call, code, message);
      return undefined;
    };
    if (handle === GLOBAL_HANDLE) return refuse("EBADF", "the global handle names no object");
    const parts = parseHandle(handle);
    if (parts === undefined) return refuse("EINVAL", "the handle is malformed");
    if (parts.type === "fs" && !takesFsHandle) return refuse("EINVAL", `${call.name} needs the handle of a file, not of a file system`);
    return this.#attached.ofHandle(handle)?.fs ?? refuse("EBADF", "the handle's file system is not attached on this node");
  }

  #isSessionFit(call: Call, session: SessionId, isFromAnywhere: boolean): boolean {
    const record = this.#here.registry?.session(session);
    if (record === undefined) this.#refuse(call, "EINVAL", `there is no session ${session}`);
    else if (isFromAnywhere || this.#host.isHosted(session)) return true;
    else this.#refuse(call, "EINVAL", `session ${session} is hosted on ${record.node}`);
    return false;
  }

  #isTokenStrong(call: Call, args: { session: SessionId; handle: Handle; token: Token }, needed: Right): boolean {
    if (!this.#isOutstanding(call, args)) return false;
    const held = this.#rights.held(this.holderOf(args.token), args.handle);
    if (isAtLeast(held, needed)) return true;
    this.#refuse(call, "EACCES", `${call.name} needs the ${needed} right on the object; token ${args.token} holds ${held === "null" ? "none" : held}`);
    return false;
  }

  #isOutstanding(call: Call, args: { session: SessionId; token: Token }): boolean {
    const found = this.#host.outstanding(args.session, args.token);
    if (!("code" in found)) return true;
    this.#refuse(call, found.code, found.message);
    return false;
  }

  #refuse(call: Call, code: DmCode, message: string): void {
    this.#desk.refuse(call.call, code, message);
  }
}

/**
 * A first record may be the last act of a node that was out of the cluster by then, with its fence lowered and nobody told:
 * members may go on believing that there is none, and register no interest. A second one is stored under a right for which
 * all of them were fenced, and they read the record anew after that; or when all had drained for the first, for which its
 * own node waits before it stores another (object-calls.ts).
 */
function isKnownEverywhere(record: FileRecord | null | undefined): boolean {
  return record !== null && record !== undefined && record.generation > 1;
}
