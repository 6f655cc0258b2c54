/**
 * Rights client: what the tokens and calls of this node hold and want, and which of its objects are fenced.
 *
 * After a view change it reports to the new servers and asks again, under the same request ids, for what it waits for:
 * the application sees only time. Grants and fences of an older view count for nothing (safety H3): the new server says
 * anew what stands.
 *
 * Owns      holdings, pending requests, interests and fences of this node.
 * Not here  who is granted what (rights-server.ts), stopping operations (the reactor).
 * Source    XDSM C429 "Rights"; safety H3.
 */
import type { DmFailure } from "../../dmapi/errors.js";
import type { FsName, Handle, NodeId, RequestId } from "../../dmapi/ids.js";
import type { Right } from "../../dmapi/rights.js";
import type { RightsMessage } from "../messages.js";
import type { Surroundings } from "../surroundings.js";
import { rightsServerOf, rightsServersOf, viewOfFence } from "./rights-server.js";

export type ToClient = Extract<RightsMessage, { kind: "right-granted" | "right-refused" | "interest-granted" | "fence-raised" | "fence-lowered" | "fences-told" }>;

export interface RightWish {
  readonly handle: Handle;
  readonly fs: FsName;
  readonly holder: string;
  readonly right: Right;
  readonly wait: boolean;
  readonly isUpgrade: boolean;
  readonly isManaged: boolean;
}
interface Holding {
  readonly fs: FsName;
  readonly isManaged: boolean;
  right: Right;
}
interface Want {
  readonly wish: RightWish;
  readonly settled: (failure: DmFailure | undefined) => void;
}

export class RightsClient {
  readonly #here: Surroundings;
  readonly #isMounted: (handle: Handle) => boolean;
  readonly #holdings = new Map<string, Map<Handle, Holding>>();
  readonly #wants = new Map<RequestId, Want>();
  readonly #interests = new Map<Handle, "wanted" | "granted">();
  readonly #fences = new Map<Handle, { fence: Right; number: number; holderNode: NodeId; isDrained: boolean }>();
  /** Servers of this view that have told every fence that stands. */
  readonly #toldBy = new Set<NodeId>();
  #whenTold: (() => void)[] = [];

  constructor(here: Surroundings, isMounted: (handle: Handle) => boolean) {
    this.#here = here;
    this.#isMounted = isMounted;
  }

  held(holder: string, handle: Handle): Right {
    return this.#holdings.get(holder)?.get(handle)?.right ?? "null";
  }
  holdingOf(holder: string, handle: Handle): Readonly<Holding> | undefined {
    return this.#holdings.get(holder)?.get(handle);
  }

  /** `settled` is called once, unless it is cancelled first. */
  request(wish: RightWish, settled: (failure: DmFailure | undefined) => void): { cancel: () => void } {
    const request = this.#here.nextName("q");
    this.#wants.set(request, { wish, settled });
    this.#ask(request, wish);
    return { cancel: () => this.#cancel(request) };
  }

  /** The holder keeps `keeps`, and does not wait for more. */
  release(holder: string, handle: Handle, keeps: Right = "null"): void {
    const holdings = this.#holdings.get(holder);
    const holding = holdings?.get(handle);
    if (holdings === undefined || holding === undefined) return;
    this.#cancelAll((wish) => wish.holder === holder && wish.handle === handle, { code: "EAGAIN", message: "the right was released meanwhile" });
    if (keeps === "null") holdings.delete(handle);
    else holding.right = keeps;
    if (holdings.size === 0) this.#holdings.delete(holder);
    this.#toServer(handle, { kind: "right-released", handle, holder, right: keeps });
  }

  holdsAny(holder: string): boolean {
    return this.#holdings.has(holder);
  }
  /** Nobody here holds or waits for any right. */
  get isIdle(): boolean {
    return this.#holdings.size === 0 && this.#wants.size === 0;
  }
  /** A token was answered: its rights go, and what it still waits for fails. */
  releaseAll(holder: string): void {
    this.#cancelAll((wish) => wish.holder === holder, { code: "EINVAL", message: "the token has been answered meanwhile" });
    for (const handle of [...(this.#holdings.get(holder)?.keys() ?? [])]) this.release(holder, handle);
  }

  /** What is held here on objects of a file system, each in words; empty: nothing. */
  heldOf(fs: FsName): string[] {
    return [...this.#holdings].flatMap(([holder, holdings]) => {
      const who = holder.replace(/^.*\.t(\d+)$/, "token $1");
      return [...holdings].flatMap(([handle, holding]) => (holding.fs === fs ? [`${who} has the ${holding.right} right on ${handle}`] : []));
    });
  }
  /** Forced unmount: rights are lost, tokens live on. */
  loseAllOf(fs: FsName): void {
    for (const [holder, holdings] of [...this.#holdings]) {
      for (const [handle, holding] of [...holdings]) if (holding.fs === fs) this.release(holder, handle);
    }
  }

  interestWanted(handle: Handle): void {
    this.#interests.set(handle, "wanted");
    this.#toServer(handle, { kind: "interest-wanted", handle });
  }
  interestDropped(handle: Handle): void {
    if (this.#interests.delete(handle)) this.#toServer(handle, { kind: "interest-dropped", handle });
  }
  fenceDrained(handle: Handle, fenceNumber: number): void {
    const fence = this.#fences.get(handle);
    if (fence?.number !== fenceNumber) return;
    fence.isDrained = true;
    this.#toServer(handle, { kind: "fence-drained", handle, fenceNumber });
  }

  received(from: NodeId, message: ToClient): void {
    switch (message.kind) {
      case "right-granted":
        return this.#granted(message);
      case "right-refused": {
        if (message.view !== this.#here.view?.number) return; // the new server was asked again
        const want = this.#wants.get(message.request);
        this.#wants.delete(message.request);
        return want?.settled(message.failure);
      }
      case "interest-granted":
        if (message.view !== this.#here.view?.number || !this.#interests.has(message.handle)) return;
        this.#interests.set(message.handle, "granted");
        if (message.fence === "null") this.#fences.delete(message.handle);
        else if (this.#fences.get(message.handle)?.number !== message.fenceNumber) {
          this.#fences.set(message.handle, { fence: message.fence, number: message.fenceNumber, holderNode: from, isDrained: true });
        }
        return this.#here.emit({ kind: "grant-interest", handle: message.handle, fence: message.fence, fenceNumber: message.fenceNumber });
      case "fence-raised":
        if (viewOfFence(message.fenceNumber) !== this.#here.view?.number) return; // this view's server has said, or will say, what stands
        return this.#fenceRaised(message);
      case "fence-lowered":
        if (viewOfFence(message.fenceNumber) !== this.#here.view?.number) return;
        if (message.fenceNumber < (this.#fences.get(message.handle)?.number ?? 0)) return;
        this.#fenceLowered(message);
        return this.#here.emit({ kind: "lower-fence", handle: message.handle, fence: message.fence, fenceNumber: message.fenceNumber });
      case "fences-told":
        if (message.view !== this.#here.view?.number) return;
        this.#toldBy.add(from);
        return this.#heedTold();
    }
  }

  /** Whether every server of this view has told this node the fences that stand for it. */
  get areFencesTold(): boolean {
    const servers = rightsServersOf(this.#here);
    return servers.length > 0 && servers.every((id) => this.#toldBy.has(id));
  }
  /** Runs `then` once that is so; a server that is silent for too long is evicted, and the next view's are waited for. */
  whenFencesTold(then: () => void): void {
    this.#whenTold.push(then);
    this.#heedTold();
  }
  #heedTold(): void {
    if (!this.areFencesTold) return;
    const waiting = this.#whenTold;
    this.#whenTold = [];
    for (const then of waiting) then();
  }

  /** To each server of the new view, of its objects. */
  viewAdopted(): void {
    const view = this.#here.view;
    this.#toldBy.clear();
    if (view === undefined) return;
    const home = (handle: Handle) => rightsServerOf(handle, this.#here);
    const holds = [...this.#holdings].flatMap(([holder, holdings]) => [...holdings].map(([handle, holding]) => ({ handle, holder, ...holding })));
    const granted = [...this.#interests].filter(([, state]) => state === "granted").map(([handle]) => handle);
    const fenced = [...this.#fences.keys()];
    const homes = new Map<Handle, NodeId | undefined>();
    for (const handle of [...holds.map((hold) => hold.handle), ...granted, ...fenced]) homes.set(handle, home(handle));
    for (const id of rightsServersOf(this.#here)) {
      this.#here.send(id, {
        kind: "rights-reported", view: view.number, holds: holds.filter((hold) => homes.get(hold.handle) === id),
        interests: granted.filter((handle) => homes.get(handle) === id), fences: fenced.filter((handle) => homes.get(handle) === id),
      });
    }
    for (const [handle, state] of this.#interests) if (state === "wanted") this.#toServer(handle, { kind: "interest-wanted", handle });
    for (const [request, want] of this.#wants) this.#ask(request, want.wish);
  }

  excluded(): void {
    this.#holdings.clear();
    this.#wants.clear();
    this.#interests.clear();
    this.#fences.clear();
    this.#toldBy.clear();
    this.#whenTold = [];
  }

  /** Its reactor is about to begin: it must know the fences that stand. */
  mounted(fs: FsName, isOf: (handle: Handle) => FsName | undefined): void {
    for (const [handle, { fence, number }] of this.#fences) {
      if (isOf(handle) === fs) this.#here.emit({ kind: "raise-fence", handle, fence, fenceNumber: number });
    }
  }
  /** Its reactor has ended: nothing runs there any more. */
  unmounted(fs: FsName, isOf: (handle: Handle) => FsName | undefined): void {
    for (const [handle, fence] of [...this.#fences]) {
      if (isOf(handle) === fs && !fence.isDrained) this.fenceDrained(handle, fence.number);
    }
    for (const handle of [...this.#interests.keys()]) if (isOf(handle) === fs) this.interestDropped(handle);
  }

  holdings(): { handle: Handle; holder: string; right: Right }[] {
    return [...this.#holdings].flatMap(([holder, holdings]) => [...holdings].map(([handle, { right }]) => ({ handle, holder, right })));
  }
  fences(): { handle: Handle; fence: Right; holderNode: NodeId }[] {
    return [...this.#fences].map(([handle, { fence, holderNode }]) => ({ handle, fence, holderNode }));
  }

  #ask(request: RequestId, wish: RightWish): void {
    this.#toServer(wish.handle, { kind: "right-wanted", request, ...wish });
  }
  #toServer(handle: Handle, message: RightsMessage): void {
    const server = rightsServerOf(handle, this.#here);
    if (server !== undefined) this.#here.send(server, message);
  }

  #cancelAll(isMeant: (wish: RightWish) => boolean, failure: DmFailure): void {
    if (this.#wants.size === 0) return;
    for (const [request, want] of [...this.#wants]) {
      if (!isMeant(want.wish)) continue;
      this.#cancel(request);
      want.settled(failure);
    }
  }

  /** The server takes back what it has granted for it meanwhile. */
  #cancel(request: RequestId): void {
    const want = this.#wants.get(request);
    if (want === undefined) return;
    this.#wants.delete(request);
    this.#toServer(want.wish.handle, { kind: "right-unwanted", request, handle: want.wish.handle });
  }

  #granted(message: Extract<ToClient, { kind: "right-granted" }>): void {
    if (message.view !== this.#here.view?.number) return; // the new server was asked again
    const want = this.#wants.get(message.request);
    const { handle, holder, right } = message;
    if (want === undefined) return; // given up as the grant came; the server hears so after it
    this.#wants.delete(message.request);
    const holdings = this.#holdings.get(holder) ?? new Map<Handle, Holding>();
    holdings.set(handle, { fs: want.wish.fs, isManaged: want.wish.isManaged, right });
    this.#holdings.set(holder, holdings);
    want.settled(undefined);
  }

  #fenceRaised(message: Extract<ToClient, { kind: "fence-raised" }>): void {
    const { handle, fence, fenceNumber, holderNode } = message;
    if (fenceNumber < (this.#fences.get(handle)?.number ?? 0)) return;
    this.#fences.set(handle, { fence, number: fenceNumber, holderNode, isDrained: false });
    if (this.#isMounted(handle)) return this.#here.emit({ kind: "raise-fence", handle, fence, fenceNumber });
    this.fenceDrained(handle, fenceNumber);
  }
  #fenceLowered({ handle, fence, fenceNumber }: Extract<ToClient, { kind: "fence-lowered" }>): void {
    const fenced = this.#fences.get(handle);
    if (fence === "null" || fenced === undefined) this.#fences.delete(handle);
    else this.#fences.set(handle, { ...fenced, fence, number: fenceNumber });
  }
}
