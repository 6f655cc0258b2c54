/**
 * What the actors of a run said, in one list: each line with its node and the time at which it was said, written to a
 * file as it comes and put in order of time when it is judged.
 *
 * Units     nanoseconds of the machine's monotonic clock, as decimal text in the file.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import type { NodeId, SessionId, Token } from "../dmapi/ids.js";
import type { DmResponse } from "../dmapi/events.js";
import type { View } from "../cluster/view-document.js";
import type { Line } from "../torture/run.js";

/** The session calls that change something others can see. */
export type SessionCall = "create" | "modify" | "assume" | "destroy" | "dispose" | "message" | "right";

/** `who` names an actor's process: its numbers are its own. */
export type Said =
  | { readonly kind: "begun"; readonly call: number; readonly name: SessionCall; readonly session?: SessionId; readonly info?: string }
  /** `outcome` "ok", or the code of the failure. */
  | { readonly kind: "ended"; readonly call: number; readonly outcome: string; readonly session?: SessionId }
  /** `askedNs`: when the call that brought it was made. */
  | { readonly kind: "received"; readonly session: SessionId; readonly token: Token; readonly operation: number; readonly askedNs: string }
  | { readonly kind: "responding"; readonly operation: number; readonly response: DmResponse }
  | { readonly kind: "responded"; readonly operation: number; readonly outcome: string }
  | { readonly kind: "operation"; readonly operation: number; readonly how: string }
  | { readonly kind: "operation-ended"; readonly operation: number; readonly how: string; readonly outcome: string }
  /** The process of an application or user was killed by the run. */
  | { readonly kind: "actor-gone" }
  | { readonly kind: "view"; readonly view: View }
  | { readonly kind: "daemon"; readonly state: "killed" | "frozen" | "thawed" | "up" };
export type Entry = Said & { readonly who: string; readonly node: NodeId; readonly atNs: bigint };

export class History {
  readonly #fd: number;
  readonly #entries: Entry[] = [];

  constructor(path: string) {
    this.#fd = openSync(path, "a", 0o600);
  }
  add(entry: Entry): void {
    this.#entries.push(entry);
    writeSync(this.#fd, `${JSON.stringify(entry, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value))}\n`);
  }
  /** A line as an actor said it. */
  addLine(who: string, node: NodeId, line: Line): void {
    this.add({ ...line, who, node, atNs: BigInt(line["atNs"] as string) } as unknown as Entry);
  }
  inOrder(): Entry[] {
    return [...this.#entries].sort((a, b) => (a.atNs < b.atNs ? -1 : a.atNs > b.atNs ? 1 : 0));
  }
  get length(): number {
    return this.#entries.length;
  }
  close(): void {
    closeSync(this.#fd);
  }
}
