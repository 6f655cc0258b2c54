/**
 * Calls of this node to the session manager that are not answered yet: asked again, under the same request id, of every
 * new manager until one answers.
 *
 * Source    requirement R4 (retry after a takeover), safety H5.
 */
import type { Incarnation, NodeId, RequestId } from "../dmapi/ids.js";
import type { CallerInfo } from "../dmapi/status.js";
import type { ManagerCall, Unfinished } from "./registry-document.js";

/** An application's call about the cluster itself; `call` is undefined once nobody waits any more. */
export interface OwnCall {
  call: number | undefined;
  readonly client: number;
  /** What it is answered when the manager says "done". */
  readonly result: unknown;
}
interface Asked {
  readonly call: ManagerCall;
  readonly caller: CallerInfo | undefined;
  /** Absent: data management asked. */
  readonly client: OwnCall | undefined;
}

export class ManagerCalls {
  readonly #id: NodeId;
  #incarnation: Incarnation;
  #count = 0;
  readonly #asked = new Map<RequestId, Asked>();

  constructor(id: NodeId, incarnation: Incarnation) {
    this.#id = id;
    this.#incarnation = incarnation;
  }

  add({ request, call, caller }: Unfinished): void {
    this.#asked.set(request, { call, caller, client: undefined });
  }
  addOwn(call: ManagerCall, caller: CallerInfo | undefined, client: OwnCall): RequestId {
    this.#count++;
    const request = `${this.#id}.${this.#incarnation}.cluster${this.#count}` as RequestId;
    this.#asked.set(request, { call, caller, client });
    return request;
  }
  find(request: RequestId): Unfinished | undefined {
    const asked = this.#asked.get(request);
    return asked === undefined ? undefined : unfinishedOf(request, asked);
  }
  take(request: RequestId): Asked | undefined {
    const asked = this.#asked.get(request);
    this.#asked.delete(request);
    return asked;
  }
  /** In the order they were asked. */
  unfinished(): Unfinished[] {
    return [...this.#asked].map(([request, asked]) => unfinishedOf(request, asked));
  }
  abandonCall(call: number): void {
    for (const { client } of this.#asked.values()) if (client?.call === call) client.call = undefined;
  }
  abandonClient(gone: number): void {
    for (const { client } of this.#asked.values()) if (client?.client === gone) client.call = undefined;
  }
  ownCalls(): number[] {
    return [...this.#asked.values()].flatMap(({ client }) => (client?.call === undefined ? [] : [client.call]));
  }
  /** Those that may end without an answer. What a mount announces goes on: the mount itself is half done. */
  get endable(): RequestId[] {
    return [...this.#asked].filter(([, { call }]) => call.kind !== "announce-mount").map(([request]) => request);
  }
  /** A new life: nobody answers what the former one asked. */
  begin(incarnation: Incarnation): void {
    this.#incarnation = incarnation;
    this.#asked.clear();
  }
}

function unfinishedOf(request: RequestId, { call, caller }: Asked): Unfinished {
  return { request, call, ...(caller !== undefined && { caller }) };
}
