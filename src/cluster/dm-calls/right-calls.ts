/**
 * The five calls on rights, held by a token on an object.
 *
 * Source    XDSM C429 dm_request_right and its kin; xdsm 2.6 (table of held against requested).
 */
import type { ArgsOf } from "../../dmapi/calls.js";
import type { FsName, Handle, Token } from "../../dmapi/ids.js";
import type { Right } from "../../dmapi/rights.js";
import type { RightsClient } from "../rights/rights-client.js";
import type { CheckedCall } from "./arguments.js";
import type { Surroundings } from "../surroundings.js";
import type { Call, CallDesk } from "./call-desk.js";
import type { ObjectGate } from "./object-gate.js";

/** A call that waits for a right. */
export interface RightWanted {
  readonly call: Call;
  readonly handle: Handle;
  readonly fs: FsName;
  readonly token: Token;
  readonly right: Right;
  readonly sinceMs: number;
}

export class RightCalls {
  readonly #here: Surroundings;
  readonly #wanted = new Map<number, RightWanted>();
  readonly #desk: CallDesk;
  readonly #gate: ObjectGate;
  readonly #rights: RightsClient;
  /** Calls that change what a token holds on an object come one after the other; here those behind the first. */
  readonly #behind = new Map<string, (() => void)[]>();

  constructor(here: Surroundings, desk: CallDesk, gate: ObjectGate, rights: RightsClient) {
    this.#here = here;
    this.#desk = desk;
    this.#gate = gate;
    this.#rights = rights;
  }

  /** False when the call is none of these. */
  begin(call: Call, { name, args }: CheckedCall): boolean {
    switch (name) {
      case "right.request":
      case "right.release":
      case "right.query":
      case "right.upgrade":
      case "right.downgrade":
        break;
      default:
        return false;
    }
    const fs = this.#gate.passToken(call, args);
    if (fs === undefined) return true;
    const holder = this.#gate.holderOf(args.token);
    const held = this.#rights.held(holder, args.handle);
    const done = () => this.#desk.answer(call.call, {});
    const key = `${holder}/${args.handle}`;
    if (this.#behind.has(key) && (held !== "null" || name === "right.request") && name !== "right.query") {
      this.#behind.get(key)?.push(() => this.#desk.isOpen(call.call) && this.begin(call, { name, args } as CheckedCall));
      return true;
    }
    const refuse = (code: "EACCES" | "ENOENT" | "EPERM", message: string) => this.#desk.refuse(call.call, code, message);
    switch (name) {
      case "right.request":
        this.#request(call, args, fs);
        break;
      case "right.release":
        if (held === "null") refuse("EACCES", "the token holds no right on the object");
        else {
          this.#rights.release(holder, args.handle);
          this.#here.note(args.token, "released", args.handle);
          done();
        }
        break;
      case "right.query":
        if (held === "null") refuse("ENOENT", "the token holds no right on the object");
        else this.#desk.answer(call.call, { right: held });
        break;
      case "right.upgrade":
        if (held === "null") refuse("EPERM", "the token holds no right that could be upgraded");
        else if (held === "exclusive") done();
        else this.#want(call, args, { fs, right: "exclusive", wait: true, isUpgrade: true });
        break;
      case "right.downgrade":
        if (held !== "exclusive") refuse("EPERM", "the token does not hold the exclusive right");
        else {
          this.#rights.release(holder, args.handle, "shared");
          done();
        }
        break;
    }
    return true;
  }

  #request(call: Call, args: ArgsOf<"right.request">, fs: FsName): void {
    const holder = this.#gate.holderOf(args.token);
    const held = this.#rights.held(holder, args.handle);
    if (held === args.right) return this.#desk.answer(call.call, {});
    if (held === "exclusive") {
      this.#rights.release(holder, args.handle, "shared");
      return this.#desk.answer(call.call, {});
    }
    if (held === "shared") {
      if (args.wait) return this.#desk.refuse(call.call, "EACCES", "waiting for exclusive while holding shared may never end; upgrade, or release first");
      return this.#want(call, args, { fs, right: "exclusive", wait: false, isUpgrade: true });
    }
    this.#want(call, args, { fs, right: args.right, wait: args.wait, isUpgrade: false });
  }

  #want(call: Call, { session, handle, token }: ArgsOf<"right.upgrade">, wish: { fs: FsName; right: Right; wait: boolean; isUpgrade: boolean }): void {
    const holder = this.#gate.holderOf(token);
    const key = `${holder}/${handle}`;
    this.#behind.set(key, []);
    this.#here.note(token, "asked", wish.right, handle);
    this.#wanted.set(call.call, { call, handle, fs: wish.fs, token, right: wish.right, sinceMs: this.#here.nowMs });
    const end = () => {
      this.#wanted.delete(call.call);
      const behind = this.#behind.get(key) ?? [];
      this.#behind.delete(key);
      for (const begin of behind) begin();
    };
    const want = (isManaged: boolean) => {
      const wanted = this.#rights.request({ ...wish, handle, holder, isManaged }, (failure) => {
        this.#here.note(token, failure === undefined ? "granted" : "denied", failure?.code ?? wish.right, handle);
        if (failure === undefined) this.#desk.answer(call.call, {});
        else this.#desk.refuse(call.call, failure.code, failure.message);
        end();
      });
      this.#desk.whenAbandoned(call.call, () => {
        wanted.cancel();
        end();
      });
    };
    this.#gate.readRecord(call, { fs: wish.fs, handle }, (isManaged) => {
      // The token may have been answered meanwhile: what it got then would be held for ever.
      if (isManaged !== undefined && this.#gate.passToken(call, { session, handle, token }) !== undefined) want(isManaged);
      else end();
    });
  }

  wanted(): RightWanted[] {
    return [...this.#wanted.values()];
  }

  /** The node was excluded: nothing is held or wanted any more. */
  excluded(): void {
    this.#behind.clear();
    this.#wanted.clear();
  }
}
