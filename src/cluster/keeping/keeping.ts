/**
 * What the kernels of several nodes that mount one file system may keep of it, names and attributes, without ever showing
 * something old: a kernel keeps an object only with the permission of every other node that mounts, and who permits asks
 * back before it changes that object.
 *
 *   here, of an object:       looked at often -> wanted of all others -> permitted by all: kept -> dropped when one of them asks
 *   of another's, here:       wanted -> permitted, unless it is being changed here: then when that has ended
 *   a change here:            who was permitted is asked to drop it -> all have -> it may run -> it has ended
 *
 * So a node that changes what no other kernel keeps asks nobody, and one that looks asks once. An object in the sense of
 * this module is an inode with its attributes and, if it is a directory, the names in it, also those that are not there.
 * Whoever drops answers at once and waits for nothing of its own, so two nodes that change one directory never wait in a circle.
 *
 * What was dropped for somebody is looked at more often before it is wanted again, twice as often each time, and half as
 * often after each second without (`eased`): an object that changes hands often is dropped about once a second, and else
 * asked for at each look, as if nobody kept anything.
 *
 * All that is kept here is void when the set of the others changes: one who comes has permitted nothing, and hears from its
 * own round (drop-names) that nothing is kept any more. What one that left was permitted counts until a view without it is
 * in force: only then its kernel has forgotten, since it keeps nothing past its lease (safety C7).
 *
 * Owns      what is kept, wanted and permitted, changes that wait for others.
 * Not here  the kernel's forgetting and the lease that bounds all keeping (the reactor), carrying words (data-management.ts).
 * Units     counts of looks; no time but what `eased` tells.
 * Source    blueprint section 6, coherence; safety C6, H7; decision 0012.
 */
import { assert } from "../../base/assert.js";
import type { Incarnation, NodeId } from "../../dmapi/ids.js";
import type { KeepingWord } from "./words.js";

export interface OtherMount {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
}
export type KeepingEffect =
  | { readonly kind: "say"; readonly to: NodeId; readonly word: KeepingWord }
  /** The kernel has to forget these; `dropped` is to be said then. */
  | { readonly kind: "drop"; readonly drop: number; readonly objects: readonly string[] }
  | { readonly kind: "may-change"; readonly change: number };

/** Looks before an object is wanted: a stat(2) alone makes two. */
const LOOKS_FIRST = 3;
/** Until its attributes are wanted anew after it was changed here. */
const LOOKS_AGED = 2;
/** And after it was dropped for somebody, at first and at most. */
const LOOKS_AGAIN = 16;
const LOOKS_MOST = 1_048_576;
/** Looked at in vain so many times as often, it is wanted anew: who was asked may have begun anew since. */
const ASK_AGAIN = 4;
/** Others than this one; more are not asked, and nothing is kept. Bits of one small integer. */
export const OTHERS_MAX = 30;
/** Objects counted, wanted or kept here, and permitted to others. */
const KEPT_MAX = 262_144;
const PERMITTED_MAX = 1_048_576;
const PATIENCE_MAX = 16_384;
/** Of one message. */
const OBJECTS_MAX = 512;

interface Kept {
  looks: number;
  wantedAt: number;
  /** Of the question under way; 0: none. */
  serial: number;
  /** Who has not permitted it yet. */
  missing: Set<NodeId> | undefined;
  isKept: boolean;
  /** Changed here since it was permitted: its attributes are not to be kept until it is permitted anew. */
  isAged: boolean;
  parent: string | undefined;
}
interface Peer {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  readonly bit: number;
}
interface Dropping {
  /** Bits of those who have not dropped it yet. */
  missing: number;
  readonly changes: number[];
}

export class Keeping {
  readonly #emit: (effect: KeepingEffect) => void;
  readonly #changesUnseen: (own: string) => boolean;
  /** Whoever mounts it in the view adopted; and who was there before and may still keep something. */
  #others = new Map<NodeId, Peer>();
  #departing: Peer[] = [];
  #usedBits = 0;
  #isOpen = false;

  // What this node's kernel keeps.
  readonly #kept = new Map<string, Kept>();
  #keptCount = 0;
  readonly #byParent = new Map<string, Set<string>>();
  #serial = 0;
  #wanted: string[] = [];
  #ended: string[] = [];
  /** How many looks an object needs that was dropped before. */
  readonly #patience = new Map<string, number>();
  /** Being forgotten by the kernel, and for whom. */
  readonly #drops = new Map<number, { readonly objects: readonly string[]; readonly tell: ((objects: readonly string[]) => void) }>();
  readonly #beingDropped = new Map<string, number>();
  #lastDrop = 0;
  /** Everything is being forgotten, so often: what is said of it would also end what was wanted meanwhile. */
  #givingUp = 0;

  // What the others keep.
  readonly #permitted = new Map<string, number>();
  readonly #changing = new Map<string, number>();
  readonly #held = new Set<string>();
  readonly #dropping = new Map<string, Dropping>();
  readonly #waiting = new Map<number, number>();
  readonly #deferred = new Map<string, Map<NodeId, number>>();
  /** Changes under way whose objects are found by a name that others may give away meanwhile. */
  #paused = 0;

  /** @param changesUnseen asked before an object is permitted: whether it may change here without a word. Then it is held. */
  constructor(emit: (effect: KeepingEffect) => void, changesUnseen: (own: string) => boolean = () => false) {
    this.#emit = emit;
    this.#changesUnseen = changesUnseen;
  }

  get counts(): { readonly kept: number; readonly permitted: number; readonly waiting: number } {
    return { kept: this.#keptCount, permitted: this.#permitted.size, waiting: this.#waiting.size };
  }

  // Who mounts.

  /**
   * The others that mount in the view adopted. Called when they change, and when the view that changed them is in force.
   */
  othersAre(others: readonly OtherMount[], isInForce: boolean): void {
    if (!this.#isSame(others)) {
      this.#isOpen = false;
      const before = this.#others;
      this.#others = new Map();
      for (const other of others) {
        const known = before.get(other.id) ?? this.#departing.find(({ id }) => id === other.id);
        if (known?.incarnation === other.incarnation) {
          this.#others.set(other.id, known);
          this.#departing = this.#departing.filter((each) => each !== known);
        } else {
          this.#others.set(other.id, { ...other, bit: this.#freeBit() });
        }
      }
      for (const peer of before.values()) if (this.#others.get(peer.id) !== peer) this.#departing.push(peer);
      this.giveUpAll();
    }
    if (!isInForce) return;
    for (const peer of this.#departing) this.#gone(peer);
    this.#departing = [];
    this.#isOpen = this.#others.size > 0 && [...this.#others.values()].every(({ bit }) => bit !== 0);
  }
  /**
   * A new life of this node begins: it knows nothing of what it permitted. Before it changes anything, the others have given
   * up all they keep.
   */
  excluded(): void {
    this.othersAre([], true);
    this.#deferred.clear();
  }
  #isSame(others: readonly OtherMount[]): boolean {
    return others.length === this.#others.size && others.every(({ id, incarnation }) => this.#others.get(id)?.incarnation === incarnation);
  }
  #freeBit(): number {
    for (let at = 0; at < OTHERS_MAX; at++) {
      const bit = 1 << at;
      if ((this.#usedBits & bit) !== 0) continue;
      this.#usedBits |= bit;
      return bit;
    }
    return 0; // then nothing is kept, here or there
  }
  #gone({ id, bit }: Peer): void {
    if (bit === 0) return;
    for (const own of [...this.#permitted.keys()]) this.#unpermit(own, bit);
    for (const own of [...this.#dropping.keys()]) this.#droppedBy(own, bit);
    if (!this.#others.has(id)) for (const wants of this.#deferred.values()) wants.delete(id);
    this.#usedBits &= ~bit;
  }

  // What this node's kernel keeps.

  /** The kernel asks for an object, found in that directory: whether it may keep what it is told, but for attributes (`isFresh`). */
  look(own: string, parent: string | undefined): boolean {
    const kept = this.#kept.get(own);
    if (kept?.isKept === true && !kept.isAged) return true;
    if (!this.#isOpen || this.#beingDropped.has(own)) return false;
    if (kept === undefined) this.#count(own, parent);
    else if (++kept.looks >= kept.wantedAt) {
      kept.wantedAt = kept.looks * ASK_AGAIN;
      kept.serial = 0;
      this.#wanted.push(own);
    }
    return kept?.isKept === true;
  }
  /** Without a look. */
  isKept(own: string): boolean {
    return this.#kept.get(own)?.isKept === true;
  }
  /** Its attributes may be kept too. */
  isFresh(own: string): boolean {
    const kept = this.#kept.get(own);
    return kept?.isKept === true && !kept.isAged;
  }
  /**
   * Changed here: what others may do to it unseen from now on (`changesUnseen`) they are asked anew. To be called before and
   * after the change. Whether its attributes were kept: the kernel has to forget those.
   */
  age(own: string): boolean {
    const kept = this.#kept.get(own);
    if (kept?.isKept !== true) return false;
    const wasFresh = !kept.isAged;
    Object.assign(kept, { isAged: true, serial: 0, missing: undefined, wantedAt: kept.looks + LOOKS_AGED });
    return wasFresh;
  }
  #count(own: string, parent: string | undefined): void {
    if (this.#kept.size >= KEPT_MAX) {
      if (this.#keptCount > KEPT_MAX / 2) return;
      for (const [each, { isKept }] of this.#kept) if (!isKept) this.#kept.delete(each);
    }
    this.#kept.set(own, { looks: 1, wantedAt: this.#patience.get(own) ?? LOOKS_FIRST, serial: 0, missing: undefined, isKept: false, isAged: false, parent });
  }

  /** Something is to be said: `flush` says it. */
  get hasWords(): boolean {
    return this.#ended.length > 0 || this.#wanted.length > 0;
  }
  /** What is wanted by now is asked for: to be called a moment later, so that many go in one word. */
  flush(): void {
    if (this.#ended.length > 0) {
      const ended = this.#ended;
      this.#ended = [];
      for (const objects of inParts(ended)) this.#sayToAll({ kind: "keep-ended", objects });
    }
    if (this.#wanted.length === 0 || this.#givingUp > 0) return;
    const wanted = this.#wanted;
    this.#wanted = [];
    if (!this.#isOpen) return;
    for (const objects of inParts(wanted)) {
      const serial = ++this.#serial;
      const asked = objects.filter((own) => {
        const kept = this.#kept.get(own);
        if (kept === undefined || (kept.isKept && !kept.isAged) || kept.serial !== 0) return false;
        kept.serial = serial;
        kept.missing = new Set(this.#others.keys());
        return true;
      });
      if (asked.length > 0) this.#sayToAll({ kind: "keep-wanted", serial, objects: asked });
    }
  }
  /** The kernel has forgotten it by itself. */
  forgotten(own: string): void {
    const kept = this.#kept.get(own);
    if (kept === undefined) return;
    this.#remove(own, kept);
    if (kept.serial !== 0) this.#ended.push(own);
  }
  #remove(own: string, kept: Kept): void {
    this.#kept.delete(own);
    if (!kept.isKept) return;
    this.#keptCount--;
    if (kept.parent === undefined) return;
    const siblings = this.#byParent.get(kept.parent);
    siblings?.delete(own);
    if (siblings?.size === 0) this.#byParent.delete(kept.parent);
  }

  /** Nothing is kept any more; `done` when the kernel has forgotten it. */
  giveUpAll(done?: () => void): void {
    const objects = [...new Set([...this.#beingDropped.keys(), ...[...this.#kept].flatMap(([own, { isKept }]) => (isKept ? [own] : []))])];
    this.#kept.clear();
    this.#byParent.clear();
    this.#keptCount = 0;
    this.#wanted = [];
    this.#ended = [];
    this.#patience.clear();
    this.#givingUp++;
    this.#drop(objects, () => {
      this.#givingUp--;
      this.#sayToAll({ kind: "keep-ended", objects: "all" });
      done?.();
    });
  }

  #drop(objects: readonly string[], tell: (objects: readonly string[]) => void): void {
    const drop = ++this.#lastDrop;
    for (const own of objects) this.#beingDropped.set(own, (this.#beingDropped.get(own) ?? 0) + 1);
    this.#drops.set(drop, { objects, tell });
    if (objects.length === 0) this.dropped(drop);
    else this.#emit({ kind: "drop", drop, objects });
  }
  /** The kernel has forgotten what that drop named. */
  dropped(drop: number): void {
    const ended = this.#drops.get(drop);
    assert(ended !== undefined, "a drop ends once");
    this.#drops.delete(drop);
    for (const own of ended.objects) lessOne(this.#beingDropped, own);
    ended.tell(ended.objects);
  }

  /** Somebody is about to change these. What lies beside them is likely to be changed next, and goes with them. */
  #dropFor(from: NodeId, drop: number, asked: readonly string[]): void {
    const objects = new Set(asked);
    for (const own of asked) {
      const kept = this.#kept.get(own);
      if (kept?.isKept === true) this.#loseHope(own);
      for (const beside of [this.#byParent.get(own), kept?.parent === undefined ? undefined : this.#byParent.get(kept.parent)]) {
        for (const each of beside ?? []) {
          if (objects.size >= OBJECTS_MAX) break;
          objects.add(each);
        }
      }
    }
    for (const own of objects) {
      const kept = this.#kept.get(own);
      if (kept !== undefined) this.#remove(own, kept);
    }
    // Also what is not kept any more: the kernel may not have forgotten it yet.
    this.#drop([...objects], (dropped) => this.#sayTo(from, { kind: "drop-done", drop, objects: dropped }));
  }
  #loseHope(own: string): void {
    const before = this.#patience.get(own);
    if (before === undefined && this.#patience.size >= PATIENCE_MAX) return;
    this.#patience.set(own, before === undefined ? LOOKS_AGAIN : Math.min(2 * before, LOOKS_MOST));
  }
  /** A second has passed. */
  eased(): void {
    for (const [own, looks] of this.#patience) {
      if (looks <= LOOKS_AGAIN) this.#patience.delete(own);
      else this.#patience.set(own, looks / 2);
    }
  }

  // What this node changes.

  /** Whether it may go on at once; else `may-change` says when. Nothing of these is permitted to anybody until it ends. */
  begin(change: number, objects: readonly string[]): boolean {
    let left = 0;
    const asked = new Map<Peer, string[]>();
    for (const own of objects) {
      this.#changing.set(own, (this.#changing.get(own) ?? 0) + 1);
      let dropping = this.#dropping.get(own);
      const keepers = dropping === undefined ? (this.#permitted.get(own) ?? 0) : 0;
      if (dropping === undefined && keepers === 0) continue;
      if (dropping === undefined) {
        dropping = { missing: keepers, changes: [] };
        this.#dropping.set(own, dropping);
        for (const peer of this.#peersOf(keepers)) asked.set(peer, [...(asked.get(peer) ?? []), own]);
      }
      dropping.changes.push(change);
      left++;
    }
    if (left === 0) return true;
    this.#waiting.set(change, left);
    for (const [{ id }, wanted] of asked) this.#sayTo(id, { kind: "drop-wanted", drop: change, objects: wanted });
    return false;
  }
  /** It has run and its user was told, or it will not run. */
  end(change: number, objects: readonly string[]): void {
    this.#waiting.delete(change);
    const free: string[] = [];
    for (const own of objects) if (lessOne(this.#changing, own)) free.push(own);
    this.#permitDeferred(free);
  }
  /** It may change at any time from now on: it is open for writing. Part of a change that has begun, so that nobody keeps it. */
  hold(own: string): void {
    this.#held.add(own);
  }
  release(own: string): void {
    if (this.#held.delete(own)) this.#permitDeferred([own]);
  }
  /** Nothing at all is permitted until as many `resume`: it is not known of which object the change will be. */
  pause(): void {
    this.#paused++;
  }
  resume(): void {
    this.#paused--;
    if (this.#paused === 0) this.#permitDeferred([...this.#deferred.keys()]);
  }

  *#peersOf(bits: number): Iterable<Peer> {
    for (const peer of this.#others.values()) if ((peer.bit & bits) !== 0) yield peer;
    for (const peer of this.#departing) if ((peer.bit & bits) !== 0) yield peer;
  }
  #unpermit(own: string, bit: number): void {
    const bits = this.#permitted.get(own);
    if (bits === undefined || (bits & bit) === 0) return;
    if ((bits & ~bit) === 0) this.#permitted.delete(own);
    else this.#permitted.set(own, bits & ~bit);
  }
  #droppedBy(own: string, bit: number): void {
    this.#unpermit(own, bit);
    const dropping = this.#dropping.get(own);
    if (dropping === undefined || (dropping.missing & bit) === 0) return;
    dropping.missing &= ~bit;
    if (dropping.missing !== 0) return;
    this.#dropping.delete(own);
    for (const change of dropping.changes) {
      const left = this.#waiting.get(change);
      if (left === undefined) continue; // given up
      if (left > 1) this.#waiting.set(change, left - 1);
      else {
        this.#waiting.delete(change);
        this.#emit({ kind: "may-change", change });
      }
    }
    if (!this.#changing.has(own)) this.#permitDeferred([own]);
  }

  /** Some kernel elsewhere may keep it. */
  isPermitted(own: string): boolean {
    return this.#permitted.has(own);
  }
  #mayChange(own: string): boolean {
    return this.#paused > 0 || this.#changing.has(own) || this.#held.has(own) || this.#dropping.has(own);
  }
  #permit(from: NodeId, serial: number, objects: readonly string[]): void {
    const peer = this.#others.get(from);
    if (peer === undefined || peer.bit === 0) return;
    const now: string[] = [];
    for (const own of objects) {
      if (this.#changesUnseen(own)) this.#held.add(own);
      if (this.#mayChange(own)) {
        const wants = this.#deferred.get(own) ?? new Map<NodeId, number>();
        if (wants.size === 0 && this.#deferred.size >= PERMITTED_MAX) continue;
        this.#deferred.set(own, wants.set(from, serial));
        continue;
      }
      const bits = this.#permitted.get(own);
      if (bits === undefined && this.#permitted.size >= PERMITTED_MAX) continue;
      this.#permitted.set(own, (bits ?? 0) | peer.bit);
      now.push(own);
    }
    if (now.length > 0) this.#sayTo(from, { kind: "keep-granted", serial, objects: now });
  }
  #permitDeferred(objects: readonly string[]): void {
    if (this.#deferred.size === 0) return;
    for (const own of objects) {
      const wants = this.#deferred.get(own);
      if (wants === undefined || this.#mayChange(own)) continue;
      this.#deferred.delete(own);
      for (const [from, serial] of wants) this.#permit(from, serial, [own]);
    }
  }

  // What the others say.

  /** Of a member of the view adopted; whoever left is heard no more. */
  hear(from: NodeId, word: KeepingWord): void {
    switch (word.kind) {
      case "keep-wanted":
        return this.#permit(from, word.serial, word.objects);
      case "keep-granted":
        for (const own of word.objects) this.#granted(from, word.serial, own);
        return;
      case "keep-ended": {
        const bit = this.#others.get(from)?.bit ?? 0;
        if (bit === 0) return;
        for (const own of word.objects === "all" ? [...this.#permitted.keys()] : word.objects) this.#unpermit(own, bit);
        return;
      }
      case "drop-wanted":
        return this.#dropFor(from, word.drop, word.objects);
      case "drop-done": {
        const bit = this.#others.get(from)?.bit ?? 0;
        if (bit !== 0) for (const own of word.objects) this.#droppedBy(own, bit);
      }
    }
  }
  #granted(from: NodeId, serial: number, own: string): void {
    const kept = this.#kept.get(own);
    if (kept === undefined || kept.serial !== serial || kept.missing?.delete(from) !== true || kept.missing.size > 0) return;
    kept.missing = undefined;
    kept.isAged = false;
    if (kept.isKept) return;
    kept.isKept = true;
    this.#keptCount++;
    if (kept.parent === undefined) return;
    const siblings = this.#byParent.get(kept.parent) ?? new Set();
    this.#byParent.set(kept.parent, siblings.add(own));
  }

  #sayTo(to: NodeId, word: KeepingWord): void {
    this.#emit({ kind: "say", to, word });
  }
  #sayToAll(word: KeepingWord): void {
    for (const to of this.#others.keys()) this.#sayTo(to, word);
  }
}

function* inParts(objects: readonly string[]): Iterable<readonly string[]> {
  for (let at = 0; at < objects.length; at += OBJECTS_MAX) yield objects.slice(at, at + OBJECTS_MAX);
}
/** Whether it was the last. */
function lessOne(counts: Map<string, number>, key: string): boolean {
  const count = counts.get(key) ?? 0;
  if (count > 1) counts.set(key, count - 1);
  else counts.delete(key);
  return count <= 1;
}
