/**
 * Rights server: grants rights on the objects whose home is this node, and fences ordinary operations for them. Homes are
 * shared out among the members that the view names (decision 0005).
 *
 * A grant leaves only when every node that may operate on the object has drained: the nodes with a registered interest,
 * or all that mount the file system where the object has no record. A frozen node without interest delays nothing.
 * With each view everything is rebuilt from the members' reports; nothing is granted before all have reported and the view
 * is in force (safety H3 e). The latter is waited for only where a member that left may still hold a right or run operations:
 * on objects whose home moved, that it had touched, or that have no record. A frozen one delays no others while the view
 * waits for the end of its lease. Then each member is told that it has heard of all fences that stand: one that comes or
 * mounts admits nothing before every server has said so, or an object without a record would not be fenced there.
 *
 * An object's queue is FIFO; an upgrade goes first, or is refused at once where another sharer or upgrader is. When the
 * last holder lets go the fence is lowered before the next one is raised: waiting users get one turn.
 *
 * Owns      holders, queues, interests and fences of objects with their home here.
 * Not here  what tokens hold (rights-client.ts), which operations a fence stops (the reactor).
 * Source    XDSM C429 "Rights", xdsm 5; safety H3, M9.
 */
import type { DmCode } from "../../dmapi/errors.js";
import type { FsName, Handle, NodeId, RequestId } from "../../dmapi/ids.js";
import { areCompatible, isAtLeast, type Right } from "../../dmapi/rights.js";
import type { RightsMessage } from "../messages.js";
import type { Surroundings } from "../surroundings.js";
import type { Member } from "../view-document.js";
import { rendezvous } from "./rendezvous.js";

type AskedOfServer = Exclude<ToServer, { kind: "rights-reported" }>;
type Wanted = Extract<RightsMessage, { kind: "right-wanted" }>;
type Reported = Extract<RightsMessage, { kind: "rights-reported" }>;
export type ToServer = Extract<
  RightsMessage,
  { kind: "right-wanted" | "right-released" | "right-unwanted" | "interest-wanted" | "interest-dropped" | "fence-drained" | "rights-reported" }
>;

interface Holder {
  readonly node: NodeId;
  readonly fs: FsName;
  readonly isManaged: boolean;
  right: Right;
  /** The request that gave it, and what was held before: who gives up as the grant leaves never had it. */
  grant?: { readonly request: RequestId; readonly before: Right };
}
/** What a node was last told of an object, and whether it has drained since. */
interface Fenced {
  fence: Right;
  number: number;
  isDrained: boolean;
}
interface Served {
  readonly handle: Handle;
  readonly holders: Map<string, Holder>;
  queue: { readonly node: NodeId; readonly want: Wanted }[];
  readonly interests: Set<NodeId>;
  readonly fenced: Map<NodeId, Fenced>;
  /** False as long as it is only known from reports. */
  isServed: boolean;
  /** What nodes that ask now are told: raised for the holders or for the first in the queue. */
  fence: Right;
}

const FENCES_PER_VIEW = 2 ** 24;
/** The view in which the fence of that number was raised or lowered. */
export function viewOfFence(fenceNumber: number): number {
  return Math.floor(fenceNumber / FENCES_PER_VIEW);
}

/** The members that serve rights in this view. */
export function rightsServersOf({ view }: Surroundings): readonly NodeId[] {
  return view?.rightsServers ?? view?.members.map((member) => member.id) ?? [];
}
/** The one that serves the object; every node computes the same. */
export function rightsServerOf(handle: Handle, here: Surroundings): NodeId | undefined {
  return rendezvous(handle, rightsServersOf(here), (id) => id);
}

export class RightsServer {
  readonly #here: Surroundings;
  readonly #objects = new Map<Handle, Served>();
  readonly #reported = new Set<NodeId>();
  /** Reports for a view that this node has not adopted yet. */
  #earlyReports: { from: NodeId; report: Reported }[] = [];
  /** Asked of this view before it was open. */
  #early: { from: NodeId; message: AskedOfServer }[] = [];
  #isOpen = false;
  /** All members of this view have reported. */
  #isComplete = false;
  #fencesRaised = 0;
  /** Who served in the views since this node last knew all there was to know; empty: it does not know. */
  #servedSince: (readonly NodeId[])[] = [];
  /** Objects on which a life that left since may hold a right or run operations. */
  readonly #doubted = new Set<Handle>();
  /** Of the view before. */
  #members: readonly Member[] = [];

  constructor(here: Surroundings) {
    this.#here = here;
  }

  viewAdopted(): void {
    this.#noteLeavers();
    this.#clear();
    const reports = this.#earlyReports;
    this.#earlyReports = [];
    for (const { from, report } of reports) this.#takeReport(from, report);
  }
  viewInForce(): void {
    this.#openIfComplete();
  }
  excluded(): void {
    this.#clear();
    this.#earlyReports = [];
    this.#servedSince = [];
    this.#doubted.clear();
    this.#members = [];
  }

  received(from: NodeId, message: ToServer): void {
    if (message.kind === "rights-reported") return this.#takeReport(from, message);
    if (rightsServerOf(message.handle, this.#here) !== this.#here.me) return; // meant for another view: asked again there
    // What was said before the report is in the report, or is said again after it.
    if (!this.#reported.has(from)) return;
    this.#takeOrKeep(from, message);
  }
  #takeOrKeep(from: NodeId, message: AskedOfServer): void {
    // Who left may operate on an object without a record although it never said so.
    if (!this.#isOpen && message.kind === "right-wanted" && !message.isManaged) this.#doubted.add(message.handle);
    if (this.#isOpen || (this.#isComplete && this.#isCertain(message.handle))) this.#take(from, message);
    else this.#early.push({ from, message });
  }

  fencesServed(): { handle: Handle; fence: Right; holderNode: NodeId }[] {
    return [...this.#objects.values()]
      .filter((object) => object.fence !== "null")
      .map((object) => ({ handle: object.handle, fence: object.fence, holderNode: this.#holderNode(object) }));
  }

  #clear(): void {
    this.#objects.clear();
    this.#reported.clear();
    this.#early = [];
    this.#isOpen = false;
    this.#isComplete = false;
    this.#fencesRaised = 0;
  }

  #noteLeavers(): void {
    if (!this.#isComplete) this.#servedSince = [];
    const hasLeft = (node: NodeId): boolean => !this.#members.some(({ id, incarnation }) => id === node && this.#here.isMember(id, incarnation));
    for (const { handle, holders, interests, fenced } of this.#objects.values()) {
      const known = [...[...holders.values()].map((holder) => holder.node), ...interests, ...fenced.keys()];
      if (known.some(hasLeft)) this.#doubted.add(handle);
    }
    this.#members = this.#here.view?.members ?? [];
    if (this.#servedSince.length > 0) this.#servedSince.push(rightsServersOf(this.#here));
  }
  /** Nobody but the members can have anything to do with it: it was served here all the time. */
  #isCertain(handle: Handle): boolean {
    if (this.#servedSince.length === 0 || this.#doubted.has(handle)) return false;
    return this.#servedSince.every((servers) => rendezvous(handle, servers, (id) => id) === this.#here.me);
  }

  #takeReport(from: NodeId, report: Reported): void {
    const number = this.#here.view?.number ?? 0;
    if (report.view > number) this.#earlyReports.push({ from, report });
    if (report.view !== number) return;
    this.#reported.add(from);
    for (const { handle, holder, right, fs, isManaged } of report.holds) {
      this.#object(handle).holders.set(holder, { node: from, fs, isManaged, right });
    }
    for (const handle of report.interests) this.#object(handle).interests.add(from);
    for (const handle of report.fences) this.#object(handle).fenced.set(from, { fence: "exclusive", number: 0, isDrained: true });
    this.#openIfComplete();
  }

  /** Fences that outlived their holder go down; those of holders go up anew, also where the file system was mounted since. */
  #openIfComplete(): void {
    const members = this.#here.view?.members ?? [];
    const { isInForce } = this.#here;
    if (this.#isOpen || (this.#isComplete && !isInForce) || !members.every((member) => this.#reported.has(member.id))) return;
    this.#isComplete = true;
    this.#isOpen = isInForce;
    if (isInForce) {
      this.#servedSince = [rightsServersOf(this.#here)];
      this.#doubted.clear();
    }
    for (const object of [...this.#objects.values()]) this.#beginServing(object);
    if (isInForce) for (const { id } of members) this.#here.send(id, { kind: "fences-told", view: this.#here.view?.number ?? 0 });
    const early = this.#early;
    this.#early = [];
    for (const { from, message } of early) this.#takeOrKeep(from, message);
  }

  #beginServing(object: Served): void {
    if (object.isServed) return;
    if (!this.#isOpen && [...object.holders.values()].some((holder) => !holder.isManaged)) this.#doubted.add(object.handle);
    if (!this.#isOpen && !this.#isCertain(object.handle)) return;
    object.isServed = true;
    const needed = this.#strongest(object);
    this.#lower(object, needed);
    for (const node of this.#targets(object)) this.#tell(object, node, needed);
    object.fence = needed;
    this.#forgetIfIdle(object);
  }

  #take(from: NodeId, message: AskedOfServer): void {
    const object = this.#object(message.handle);
    object.isServed = true;
    switch (message.kind) {
      case "right-wanted":
        this.#wanted(object, from, message);
        break;
      case "right-released":
        this.#released(object, message.holder, message.right);
        break;
      case "right-unwanted":
        this.#unwanted(object, message.request);
        break;
      case "interest-wanted":
        this.#interestWanted(object, from);
        break;
      case "interest-dropped": {
        object.interests.delete(from);
        const fenced = object.fenced.get(from);
        if (fenced !== undefined) fenced.isDrained = true;
        this.#advance(object);
        break;
      }
      case "fence-drained": {
        const fenced = object.fenced.get(from);
        if (fenced !== undefined && fenced.number === message.fenceNumber) fenced.isDrained = true;
        this.#advance(object);
        break;
      }
    }
    this.#forgetIfIdle(object);
  }

  #wanted(object: Served, node: NodeId, want: Wanted): void {
    if (object.queue.some((queued) => queued.want.request === want.request)) return;
    const holder = object.holders.get(want.holder);
    const held = holder?.right ?? "null";
    if (holder?.grant?.request === want.request) return; // granted already, and on its way
    if (isAtLeast(held, want.right)) return this.#grant(object, node, want);
    const others = this.#others(object, want.holder);
    const isStrengthening = held !== "null";
    if (isStrengthening) {
      if (others.length > 0) return this.#refuse(node, want, "EAGAIN", "another token shares the object");
      object.queue.unshift({ node, want });
      return this.#advance(object);
    }
    if (want.isUpgrade) return this.#refuse(node, want, "EPERM", "nothing is held that could be upgraded");
    if (!want.wait && (object.queue.length > 0 || others.some((holder) => !areCompatible(holder.right, want.right)))) {
      return this.#refuse(node, want, "EAGAIN", "the object is held or wanted by others");
    }
    object.queue.push({ node, want });
    this.#advance(object);
  }

  #released(object: Served, name: string, keeps: Right): void {
    const holder = object.holders.get(name);
    if (holder === undefined) return;
    if (keeps === "null") object.holders.delete(name);
    else holder.right = keeps;
    delete holder.grant;
    this.#lower(object, this.#strongest(object));
    this.#advance(object);
  }

  #unwanted(object: Served, request: RequestId): void {
    object.queue = object.queue.filter(({ want }) => want.request !== request);
    const granted = [...object.holders].find(([, holder]) => holder.grant?.request === request);
    if (granted === undefined) return this.#advance(object);
    this.#released(object, granted[0], granted[1].grant?.before ?? "null");
  }

  #interestWanted(object: Served, from: NodeId): void {
    object.interests.add(from);
    // One that was fenced before, without an interest, may have to drain for the present fence; else nothing runs there.
    if (object.fenced.has(from)) this.#tell(object, from, object.fence);
    else if (object.fence !== "null") object.fenced.set(from, { fence: object.fence, number: this.#nextNumber(), isDrained: true });
    const told = object.fenced.get(from) ?? { fence: "null", number: this.#nextNumber() };
    this.#here.send(from, {
      kind: "interest-granted", handle: object.handle, view: this.#here.view?.number ?? 0, fence: told.fence, fenceNumber: told.number,
    });
  }

  /** Grants from the head of the queue as long as holders and fences allow. */
  #advance(object: Served): void {
    for (;;) {
      const first = object.queue[0];
      const held = this.#strongest(object);
      if (first === undefined || this.#others(object, first.want.holder).some((holder) => !areCompatible(holder.right, first.want.right))) {
        return this.#lower(object, held);
      }
      const needed = isAtLeast(held, first.want.right) ? held : first.want.right;
      object.fence = needed;
      const targets = this.#targets(object);
      for (const node of targets) this.#tell(object, node, needed);
      if (targets.some((node) => object.fenced.get(node)?.isDrained === false)) return;
      object.queue.shift();
      this.#grant(object, first.node, first.want);
    }
  }

  #grant(object: Served, node: NodeId, want: Wanted): void {
    const held = object.holders.get(want.holder);
    const right = held !== undefined && isAtLeast(held.right, want.right) ? held.right : want.right;
    object.holders.set(want.holder, { node, fs: want.fs, isManaged: want.isManaged && (held?.isManaged ?? true), right, grant: { request: want.request, before: held?.right ?? "null" } });
    this.#here.count("rightsGranted");
    this.#here.send(node, { kind: "right-granted", request: want.request, handle: want.handle, holder: want.holder, right, view: this.#here.view?.number ?? 0 });
  }
  #refuse(node: NodeId, want: Wanted, code: DmCode, message: string): void {
    this.#here.send(node, { kind: "right-refused", request: want.request, failure: { code, message }, view: this.#here.view?.number ?? 0 });
  }

  /** Who may operate on the object at all: for one without a record, everybody who mounts the file system. */
  #targets(object: Served): NodeId[] {
    const first = object.queue[0]?.want;
    const claims: readonly { fs: FsName; isManaged: boolean }[] = first === undefined ? [...object.holders.values()] : [first, ...object.holders.values()];
    const nodes = new Set(object.interests);
    if (claims.length === 0) return [];
    for (const claim of claims) {
      if (!claim.isManaged) for (const node of this.#here.membersMounting(claim.fs)) nodes.add(node);
    }
    return [...nodes];
  }

  #tell(object: Served, node: NodeId, fence: Right): void {
    if (fence === "null") return;
    const told = object.fenced.get(node);
    if (told !== undefined && told.number !== 0 && isAtLeast(told.fence, fence)) return;
    const number = this.#nextNumber();
    object.fenced.set(node, { fence, number, isDrained: false });
    this.#here.send(node, { kind: "fence-raised", handle: object.handle, fence, fenceNumber: number, holderNode: this.#holderNode(object) });
  }

  #lower(object: Served, fence: Right): void {
    object.fence = fence;
    for (const [node, told] of [...object.fenced]) {
      if (isAtLeast(fence, told.fence)) continue;
      const number = this.#nextNumber();
      this.#here.send(node, { kind: "fence-lowered", handle: object.handle, fence, fenceNumber: number });
      object.fenced.delete(node);
      if (fence === "null") continue;
      // The drain of the stronger fence is not waited for any more; what counts is that of this one.
      if (told.isDrained) object.fenced.set(node, { fence, number, isDrained: true });
      else this.#tell(object, node, fence);
    }
  }

  #nextNumber(): number {
    this.#fencesRaised += 1;
    return (this.#here.view?.number ?? 0) * FENCES_PER_VIEW + this.#fencesRaised;
  }
  #strongest(object: Served): Right {
    let strongest: Right = "null";
    for (const { right } of object.holders.values()) if (isAtLeast(right, strongest)) strongest = right;
    return strongest;
  }
  #others(object: Served, name: string): Holder[] {
    return [...object.holders].filter(([other]) => other !== name).map(([, holder]) => holder);
  }
  #holderNode(object: Served): NodeId {
    return [...object.holders.values()][0]?.node ?? object.queue[0]?.node ?? this.#here.me;
  }

  #object(handle: Handle): Served {
    let object = this.#objects.get(handle);
    if (object === undefined) {
      object = { handle, holders: new Map(), queue: [], interests: new Set(), fenced: new Map(), isServed: false, fence: "null" };
      this.#objects.set(handle, object);
    }
    return object;
  }
  #forgetIfIdle(object: Served): void {
    const isIdle = object.holders.size === 0 && object.queue.length === 0 && object.interests.size === 0 && object.fenced.size === 0;
    if (isIdle) this.#objects.delete(object.handle);
  }
}

