/**
 * Rights as resources: a right is given back by its release (or the end of its `await using` block), and at the latest by
 * the answer to the event whose token holds it.
 *
 * Owns      which rights this application took under one token.
 * Source    XDSM C429 "Rights", dm_request_right; requirement R6 of the sibling on access rights.
 */
import { DmError } from "../dmapi/errors.js";
import type { DmResponse } from "../dmapi/events.js";
import type { Handle, Token } from "../dmapi/ids.js";
import type { Right } from "../dmapi/rights.js";
import type { Session } from "./session.js";

export class HeldRight implements AsyncDisposable {
  readonly handle: Handle;
  readonly #owner: OutstandingToken;
  #right: Right;
  constructor(owner: OutstandingToken, handle: Handle, right: Right) {
    this.#owner = owner;
    this.handle = handle;
    this.#right = right;
  }
  get right(): Right {
    return this.#owner.isOutstanding ? this.#right : "null";
  }
  get token(): Token {
    return this.#owner.token;
  }
  /** SHARED to EXCLUSIVE without letting go in between. @throws DmError EAGAIN someone else shares it. */
  async upgrade(): Promise<void> {
    await this.#owner.session.connection.call("right.upgrade", this.#owner.args(this.handle));
    this.#right = "exclusive";
  }
  async downgrade(): Promise<void> {
    await this.#owner.session.connection.call("right.downgrade", this.#owner.args(this.handle));
    this.#right = "shared";
  }
  /** Safe to repeat, and after the answer that released it. */
  async release(): Promise<void> {
    if (this.right === "null") return;
    this.#right = "null";
    await this.#owner.session.connection.call("right.release", this.#owner.args(this.handle));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** A token that is ours until it is answered: of a synchronous event, or made by `session.createUserEvent`. */
export class OutstandingToken implements AsyncDisposable {
  readonly session: Session;
  readonly token: Token;
  #isOutstanding = true;
  constructor(session: Session, token: Token) {
    this.session = session;
    this.token = token;
  }
  get isOutstanding(): boolean {
    return this.#isOutstanding;
  }
  args(handle: Handle): { session: Session["id"]; handle: Handle; token: Token } {
    return { session: this.session.id, handle, token: this.token };
  }

  /**
   * Takes a right on an object; it lasts until released, or until the answer to this token.
   * @throws DmError EAGAIN held elsewhere and `wait` false; EACCES would wait to strengthen; EBADF no such object.
   */
  async requestRight(handle: Handle, right: "shared" | "exclusive", options: { wait?: boolean } = {}): Promise<HeldRight> {
    await this.session.connection.call("right.request", { ...this.args(handle), right, wait: options.wait ?? true });
    return new HeldRight(this, handle, right);
  }
  async queryRight(handle: Handle): Promise<Right> {
    return (await this.session.connection.call("right.query", this.args(handle))).right;
  }
  /** Ends the token: its rights are released and whoever waits goes on. @throws DmError ESRCH answered before. */
  async respond(response: DmResponse, data?: Uint8Array): Promise<void> {
    if (!this.#isOutstanding) throw new DmError("ESRCH", "event.respond", `token ${this.token} was answered already`);
    const answer = { token: this.token, response, data };
    if (!this.session.answerAhead(answer)) await this.session.connection.call("event.respond", { session: this.session.id, ...answer });
    this.#isOutstanding = false;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOutstanding) await this.respond({ kind: "continue" });
  }
}
