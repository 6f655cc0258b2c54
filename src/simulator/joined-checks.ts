/**
 * The promises of the whole, checked from outside in plain words, beside those of the registry (cluster-checks.ts), of the
 * bytes (file-model.ts) and of what readers see (kernel-model.ts):
 *
 * - while a token holds the exclusive right on an object, no operation touches that object on any node, but what the
 *   dropping of pages waits for; and no other token holds a right on it; while one holds the shared right, none changes it;
 * - no operation changes anything while another node's kernel keeps names and attributes without asking, all of them since
 *   it alone mounts, or those of that object;
 * - when a changed record is answered, nothing runs anywhere under an older one;
 * - an operation for which an event was raised goes on only as an application said, or is failed by a rule;
 * - a token names one event; who answered one with success has ended its wait;
 * - no operation waits for ever.
 *
 * A node that is out of the latest view and whose lease is over is bound by the guard alone (safety C1, C7), so it is not
 * looked at here.
 */
import type { NodeEffect } from "../cluster/node-contract.js";
import type { DmResponse, EventMessage } from "../dmapi/events.js";
import type { OperationId, SessionId, Token } from "../dmapi/ids.js";
import { lifeName } from "../coordination/shared-volume/layout.js";
import { ClusterChecks } from "./cluster-checks.js";
import type { FileModel } from "./file-model.js";
import type { JoinedNode } from "./joined-node.js";
import type { NodeModel } from "./node-model.js";
import type { Touch } from "./reactor-model.js";
import type { World } from "./world.js";

interface RightThought {
  readonly at: JoinedNode;
  readonly life: string;
  readonly token: Token;
  readonly right: "shared" | "exclusive";
  readonly sinceMs: number;
}

export class JoinedChecks {
  readonly cluster: ClusterChecks;
  readonly #world: World;
  readonly #sites: () => JoinedNode[];
  readonly #rights = new Map<FileModel, RightThought[]>();
  readonly #tokens = new Map<Token, number>();
  /** Numbers of operations whose event is out, by process and operation. */
  readonly #raised = new Map<string, number>();
  /** For the statistics of a run. */
  readonly counts: Record<string, number> = {};

  constructor(world: World, sites: () => JoinedNode[]) {
    this.#world = world;
    this.#sites = sites;
    this.cluster = new ClusterChecks(world, () => sites().map((site) => site.node));
  }
  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  // Events.

  raised(at: JoinedNode, operation: OperationId): number {
    const key = `${at.process.name} ${operation}`;
    const known = this.#raised.get(key);
    // After an exclusion the same event is raised again under the same operation.
    const number = known ?? this.#world.newNumber();
    if (known === undefined) {
      this.#raised.set(key, number);
      this.cluster.held(at.node, number as OperationId);
    }
    this.count("events");
    return number;
  }
  resumed(at: JoinedNode, { operation, decision }: Extract<NodeEffect, { kind: "resume-operation" }>): void {
    const key = `${at.process.name} ${operation}`;
    const number = this.#raised.get(key);
    this.#world.log(() => `${at.process.name}: operation ${operation} (${number}) resumes with ${JSON.stringify(decision)}`);
    this.#world.check(number !== undefined, () => `${at.process.name} resumes operation ${operation}, which does not wait`);
    this.#raised.delete(key);
    this.cluster.resumed(number as OperationId, decision);
  }
  gone(at: JoinedNode, operation: OperationId): void {
    const key = `${at.process.name} ${operation}`;
    const number = this.#raised.get(key);
    if (number !== undefined) this.cluster.interrupted(number as OperationId);
  }
  /** Its users are gone with it. */
  died(at: JoinedNode): void {
    for (const [key, number] of this.#raised) {
      if (!key.startsWith(`${at.process.name} `)) continue;
      this.#raised.delete(key);
      this.cluster.interrupted(number as OperationId);
    }
  }
  received(node: NodeModel, session: SessionId, message: EventMessage, number: number): void {
    const known = message.token === undefined ? undefined : this.#tokens.get(message.token);
    this.#world.check(known === undefined || known === number, () => `token ${message.token} names operation ${number} and has named operation ${known}`);
    if (message.token !== undefined) this.#tokens.set(message.token, number);
    this.cluster.received(node, session, message, number);
  }
  responding(number: number, response: DmResponse): void {
    this.cluster.responding(number, response);
  }
  /** A respond call that succeeds says that the source took it, or has left the view (safety C9). */
  respondedWell(node: NodeModel, number: number): void {
    if (!this.cluster.isInView(lifeName(node))) return;
    this.#world.check(!this.cluster.isWaitingInView(number as OperationId), () => `operation ${number} was answered with success by ${lifeName(node)} and still waits`);
  }
  responded(node: NodeModel, number: number): void {
    this.cluster.responded(node, number);
  }
  created(node: NodeModel, session: SessionId, info: string): void {
    this.cluster.created(node, session, info);
  }

  // Rights and fences.

  /** @param life in which it was asked for: no other gives the answer, though the node may have gone on when it is heard. */
  rightHeld(at: JoinedNode, life: string, file: FileModel, token: Token, right: "shared" | "exclusive"): void {
    this.tokenEnds(at, token); // of an application that died with it
    const rights = this.#rightsOn(file);
    for (const other of rights) {
      const mayBoth = right === "shared" && other.right === "shared";
      this.#world.check(mayBoth || !this.#isBinding(other) || !this.cluster.isInView(life), () => `${life} (token ${token}) has the ${right} right on ${file.handle} while ${other.life} (token ${other.token}) has the ${other.right} one`);
    }
    rights.push({ at, life, token, right, sinceMs: this.#world.nowMs });
    this.count("rights");
  }
  /** It is answered, or its right given back. */
  tokenEnds(at: JoinedNode, token: Token): void {
    for (const [file, rights] of this.#rights) this.#rights.set(file, rights.filter((right) => right.at !== at || right.token !== token));
  }
  #rightsOn(file: FileModel): RightThought[] {
    const rights = (this.#rights.get(file) ?? []).filter((right) => this.#isBinding(right));
    this.#rights.set(file, rights);
    return rights;
  }
  /** A right goes with the life of its node in the view: not before that node's lease is over, where it cannot know yet. */
  #isBinding({ at, life }: RightThought): boolean {
    return !at.node.isDead && lifeName(at.node) === life && this.cluster.isBound(at.node);
  }

  /** Names and attributes that a kernel keeps would be old. */
  #checkNamesKept(at: JoinedNode, file: FileModel): void {
    for (const site of this.#sites()) {
      if (site.reactor === undefined || site.node.isDead) continue;
      if (site === at) {
        if (site.keepsNames) this.count("changes where names are kept");
        else if (site.reactor.keeps(file)) this.count("changes of what the own kernel keeps beside others");
        continue;
      }
      // What is kept of single objects ends with the lease: so it is looked at also where that is over, but by the clock of a machine that stood still.
      this.#world.check(!site.keepsNames || !this.cluster.isBound(site.node), () => `${lifeName(at.node)} changes the file system while the kernel of ${lifeName(site.node)} keeps names and attributes`);
      this.#world.check(!site.reactor.keeps(file) || this.cluster.isUnknowinglyOut(site.node), () => `${lifeName(at.node)} changes ${file.handle}, which the kernel of ${lifeName(site.node)} keeps`);
    }
  }
  touched(at: JoinedNode, { file, access, passesFences, block, operation, admittedAtMs }: Touch): void {
    if (access === "look" || passesFences || !this.cluster.isBound(at.node)) return;
    if (access === "change" && admittedAtMs > at.rejoinedAtMs) this.#checkNamesKept(at, file);
    for (const right of this.#rights.get(file) ?? []) {
      // What was admitted in a life that is over, the guard alone stops.
      if (!this.#isBinding(right) || admittedAtMs <= at.rejoinedAtMs) continue;
      if (right.right === "shared" && access !== "change") continue;
      this.#world.check(false, () => `on ${lifeName(at.node)} operation ${operation} touches block ${block} of ${file.handle} (${access}) while ${right.life} (token ${right.token}) has the ${right.right} right`);
    }
  }
  drained(by: JoinedNode, file: FileModel, generation: number): void {
    if (!this.cluster.isInView(lifeName(by.node))) return;
    this.count("drained rounds");
    for (const site of this.#sites()) {
      if (site.node.isDead || site.reactor === undefined || !this.cluster.isInView(lifeName(site.node))) continue;
      // What was admitted in a life that is over, the guard alone stops: no round of others waits for it.
      for (const under of site.reactor.runningUnder(file, site.rejoinedAtMs)) {
        this.#world.check(under >= generation, () => `${lifeName(by.node)} was told that generation ${generation} of ${file.handle} is known everywhere while on ${lifeName(site.node)} an operation runs under ${under}`);
      }
    }
  }

  moved(how: string): void {
    this.count(how);
  }
}
