/**
 * Mounting and unmounting on this node: announced to the cluster, asked of the sessions, then done.
 *
 *   mount:    announce (new view) -> mount event to every session that takes it -> fences told -> others keep no names -> mount(2) -> answered
 *   unmount:  preunmount event -> unmount(2) -> unmount event with its result -> announce -> answered
 *
 * The file system is not reachable while the mount event waits, nor before every rights server of a view that shows the
 * mount has told the fences that stand: from then on this node is among those a fence waits for. Each session gets a copy with its own token: the mount
 * goes on when one continues and none aborts, or when nobody cares, unless an answer is required here.
 *
 * Source    XDSM C429 mount, preunmount, unmount; requirements 2.7, 3.7; safety H3, M5.
 */
import type { ArgsOf } from "../../dmapi/calls.js";
import { type DmFailure, errnoOf } from "../../dmapi/errors.js";
import { type EventType, hasEvent, type MountEvent, type NamespaceEvent } from "../../dmapi/events.js";
import type { FsName, SessionId } from "../../dmapi/ids.js";
import type { AttachedFileSystems, AttachedFs } from "../attached-file-systems.js";
import { limitMs, type MountEventScope } from "../node-contract.js";
import type { RightsClient } from "../rights/rights-client.js";
import type { Rounds } from "../rounds.js";
import type { SoleMounts } from "../sole-mounts.js";
import type { Settled } from "../source-node/held-event.js";
import type { SourceNode } from "../source-node/source-node.js";
import type { Surroundings } from "../surroundings.js";
import type { CheckedCall } from "./arguments.js";
import type { Call, CallDesk } from "./call-desk.js";

/** How often a mount that needs an answer looks whether a session takes it now. */
const OWNER_LOOK_MS = 200;

export class MountCalls {
  readonly #here: Surroundings;
  readonly #desk: CallDesk;
  readonly #source: SourceNode;
  readonly #rights: RightsClient;
  readonly #rounds: Rounds;
  readonly #soles: SoleMounts;
  readonly #attached: AttachedFileSystems;
  readonly #required: ReadonlySet<FsName>;
  readonly #scope: MountEventScope;
  /** Being mounted or unmounted by a call that has not ended. */
  readonly #busy = new Set<FsName>();

  constructor(parts: {
    here: Surroundings; desk: CallDesk; source: SourceNode; rights: RightsClient; rounds: Rounds; soles: SoleMounts; attached: AttachedFileSystems; required: readonly FsName[]; scope: MountEventScope;
  }) {
    this.#here = parts.here;
    this.#desk = parts.desk;
    this.#source = parts.source;
    this.#rights = parts.rights;
    this.#rounds = parts.rounds;
    this.#soles = parts.soles;
    this.#attached = parts.attached;
    this.#required = new Set(parts.required);
    this.#scope = parts.scope;
  }

  /** False when the call is none of these. */
  begin(call: Call, { name, args }: CheckedCall): boolean {
    if (name === "fs.mount") this.#mount(call, args);
    else if (name === "fs.unmount") this.#unmount(call, args);
    else return false;
    return true;
  }
  excluded(): void {
    this.#busy.clear();
  }

  #mount(call: Call, args: ArgsOf<"fs.mount">): void {
    const fs = this.#attachedFor(call, args.fs);
    if (fs === undefined) return;
    if (this.#attached.isMounted(args.fs)) return this.#desk.refuse(call.call, "EBUSY", `${args.fs} is mounted here already`);
    const mountpoint = args.mountpoint ?? fs.mountpoint;
    if (mountpoint === undefined) return this.#desk.refuse(call.call, "EINVAL", `no mount point is known for ${args.fs}: name one`);
    this.#busy.add(args.fs);
    const giveUp = (failure: DmFailure) => {
      const undone = () => {
        this.#busy.delete(args.fs);
        this.#desk.refuse(call.call, failure.code, failure.message);
      };
      this.#desk.ask(undefined, { kind: "announce-mount", fs: args.fs, isMounted: false }, undone, undone);
    };
    this.#announce(call, args.fs, true, () => {
      const event: MountEvent = { type: "mount", fsHandle: fs.handle, rootHandle: fs.rootHandle, mountpoint, source: args.fs, isReadOnly: false };
      this.#askMountOwners(call, args.fs, event, this.#here.nowMs + limitMs(this.#here.timeouts.mountTimeoutMs), (failure) => {
        if (failure !== undefined) return giveUp(failure);
        this.#rights.whenFencesTold(() => {
          this.#soles.share(args.fs, (failed) => {
            if (failed !== undefined) return giveUp({ code: "EBUSY", message: failed });
            this.#serve(call, args.fs, mountpoint, giveUp);
          });
        });
      });
    });
  }

  /** Users reach it before this is answered: fences and rounds concern it from the start. */
  #serve(call: Call, fs: FsName, mountpoint: string, giveUp: (failure: DmFailure) => void): void {
    this.#attached.setMounted(fs, true);
    this.#rights.mounted(fs, (handle) => this.#attached.ofHandle(handle)?.fs);
    this.#desk.job({ kind: "mount", fs, mountpoint }, (result) => {
      if (result.kind === "failed") {
        this.#ended(fs);
        return giveUp(result.failure);
      }
      this.#busy.delete(fs);
      this.#desk.answer(call.call, { mountpoint });
    });
  }
  /** Nothing runs there any more. */
  #ended(fs: FsName): void {
    this.#attached.setMounted(fs, false);
    this.#rounds.unmounted(fs);
    this.#soles.unmounted(fs);
    this.#rights.unmounted(fs, (handle) => this.#attached.ofHandle(handle)?.fs);
  }

  #askMountOwners(call: Call, fs: FsName, event: MountEvent, untilMs: number, done: (failure: DmFailure | undefined) => void): void {
    const isRequired = this.#required.has(fs);
    const sessions = this.#mountOwners();
    let open = sessions.length;
    let isTaken = false;
    let failure: DmFailure | undefined;
    const finish = () => {
      if (failure !== undefined) return done(failure);
      if (isTaken || !isRequired) return done(undefined);
      if (this.#here.nowMs >= untilMs || !this.#desk.isOpen(call.call)) return done({ code: "EIO", message: `no session takes the mount of ${fs}, and one is required` });
      this.#desk.after(OWNER_LOOK_MS, () => this.#askMountOwners(call, fs, event, untilMs, done));
    };
    if (open === 0) return finish();
    const raised = sessions.map((session) =>
      this.#source.raise({ fs, event, isSynchronous: true, target: { kind: "session", session }, endsWithSession: true }, (outcome) => {
        if (outcome.kind === "answered" && outcome.response.kind === "abort") failure ??= { code: outcome.response.code, message: `session ${session} refused the mount` };
        if (outcome.kind === "answered" && outcome.response.kind === "continue") isTaken = true;
        open -= 1;
        if (open === 0) finish();
      }),
    );
    this.#desk.whenAbandoned(call.call, () => {
      if (open === 0) return;
      for (const { withdraw } of raised) withdraw();
      done({ code: "EINTR", message: "given up by the caller" });
    });
  }

  /** All sessions that take mounts; a group stands for each of its members. */
  #mountOwners(): SessionId[] {
    const registry = this.#here.registry;
    const owners = registry?.owners("global", "mount") ?? [];
    const ids = owners.flatMap((owner) => (owner.kind === "session" ? [owner.session] : (registry?.group(owner.group) ?? []).map((member) => member.id)));
    return [...new Set(ids)].filter((id) => registry?.session(id)?.state === "active" && this.#isInScope(id));
  }

  #isInScope(session: SessionId): boolean {
    switch (this.#scope) {
      case "all":
        return true;
      case "SessionNode":
        return this.#here.registry?.session(session)?.node === this.#here.me;
      case "LocalNode":
        return [...(this.#here.registry?.eachSession() ?? [])].some((each) => this.#here.isHostedHere(each));
    }
  }
  /** Of preunmount and unmount, whose owner is one session or group. */
  #isOwnerInScope(fs: FsName, type: EventType): boolean {
    if (this.#scope === "all") return true;
    const owner = this.#here.registry?.owners(fs, type)[0];
    if (owner === undefined) return true;
    const ids = owner.kind === "session" ? [owner.session] : (this.#here.registry?.group(owner.group) ?? []).map((member) => member.id);
    return ids.some((id) => this.#isInScope(id));
  }

  #unmount(call: Call, args: ArgsOf<"fs.unmount">): void {
    const fs = this.#attachedFor(call, args.fs);
    if (fs === undefined) return;
    const isForced = args.force === true;
    if (!this.#attached.isMounted(args.fs)) return this.#desk.refuse(call.call, "EINVAL", `${args.fs} is not mounted here`);
    const held = isForced ? [] : this.#rights.heldOf(args.fs);
    if (held.length > 0) return this.#desk.refuse(call.call, "EBUSY", stillHeld(args.fs, held));
    this.#busy.add(args.fs);
    const event: NamespaceEvent = { type: "preunmount", handle1: fs.handle, handle2: fs.rootHandle, mode: isForced ? 1 : 0 };
    this.#raise(call, fs, event, isForced, (outcome) => {
      const refusal = outcome.kind === "answered" && outcome.response.kind === "abort" ? outcome.response.code : undefined;
      if (isForced) this.#rights.loseAllOf(args.fs);
      else {
        const stillThere = this.#rights.heldOf(args.fs);
        if (refusal !== undefined || stillThere.length > 0) {
          this.#busy.delete(args.fs);
          return this.#desk.refuse(call.call, refusal ?? "EBUSY", refusal === undefined ? stillHeld(args.fs, stillThere) : "a session refused the unmount");
        }
      }
      this.#desk.job({ kind: "unmount", fs: args.fs, isForced }, (result) => this.#unmounted(call, fs, isForced, result.kind === "failed" ? result.failure : undefined));
    });
  }

  /** Its event tells the result and cannot change it. Who mounts again before all know would overtake what is announced. */
  #unmounted(call: Call, fs: AttachedFs, isForced: boolean, failure: DmFailure | undefined): void {
    const event: NamespaceEvent = { type: "unmount", handle1: fs.handle, mode: isForced ? 1 : 0, returnCode: failure === undefined ? 0 : errnoOf[failure.code] };
    if (failure === undefined) this.#ended(fs.fs);
    this.#raise(call, fs, event, true, () => {
      if (failure !== undefined) {
        this.#busy.delete(fs.fs);
        return this.#desk.refuse(call.call, failure.code, failure.message);
      }
      this.#announce(call, fs.fs, false, () => {
        this.#busy.delete(fs.fs);
        this.#desk.answer(call.call, {});
      });
    });
  }

  /** With `isBounded` nobody's silence holds the unmount up for more than a directory operation's limit. */
  #raise(call: Call, fs: AttachedFs, event: NamespaceEvent, isBounded: boolean, done: (outcome: Settled) => void): void {
    if (!hasEvent(fs.eventList, event.type satisfies EventType) || !this.#isOwnerInScope(fs.fs, event.type)) return done({ kind: "answered", response: { kind: "continue" } });
    const limit = isBounded ? { limit: { afterMs: this.#here.timeouts.namespaceEventTimeoutMs, code: "EIO" as const } } : {};
    const raised = this.#source.raise({ fs: fs.fs, event, isSynchronous: true, target: { kind: "owner" }, endsWithSession: true, ...limit }, done);
    if (isBounded) return;
    this.#desk.whenAbandoned(call.call, () => {
      if (raised.withdraw()) this.#busy.delete(fs.fs);
    });
  }

  #announce(call: Call, fs: FsName, isMounted: boolean, then: () => void): void {
    this.#desk.ask(call, { kind: "announce-mount", fs, isMounted }, then, () => this.#busy.delete(fs));
  }

  #attachedFor(call: Call, fs: FsName): AttachedFs | undefined {
    const attached = this.#attached.get(fs);
    if (attached === undefined) this.#desk.refuse(call.call, "EINVAL", `${fs} is not configured on this node`);
    else if (!this.#busy.has(fs)) return attached;
    else this.#desk.refuse(call.call, "EBUSY", `${fs} is being mounted or unmounted`);
    return undefined;
  }
}

const HELD_TOLD_MAX = 8;
function stillHeld(fs: FsName, held: readonly string[]): string {
  const more = held.length > HELD_TOLD_MAX ? `; and ${held.length - HELD_TOLD_MAX} more` : "";
  return `tokens of this node hold rights on objects of ${fs}: ${held.slice(0, HELD_TOLD_MAX).join("; ")}${more}. Their applications release them or answer the tokens' events; --force takes them away`;
}
