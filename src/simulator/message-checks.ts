/**
 * What applications are promised of the asynchronous messages that one of them sends to a session in a burst: as long as
 * sender, host and the session's place stay what they were, those that were confirmed come, once, and in the order in which they were sent.
 *
 * Source    requirement R14; safety C9, M3.
 */
import { lifeName } from "../coordination/shared-volume/layout.js";
import type { EventMessage } from "../dmapi/events.js";
import type { SessionId } from "../dmapi/ids.js";
import type { NodeModel } from "./node-model.js";
import type { World } from "./world.js";

interface Burst {
  readonly sender: NodeModel;
  readonly senderLife: string;
  readonly session: SessionId;
  /** As the sender's registry had it: who hosts it, and how often it was given to somebody. */
  readonly place: string | undefined;
  readonly confirmed: Set<number>;
  readonly received: Set<number>;
  /** The latest that came in its place. */
  last: number;
  waiting: number;
}

export class MessageChecks {
  readonly #world: World;
  readonly #bursts: Burst[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** Its number; messages are 1, 2, 3 of it. */
  begin(sender: NodeModel, session: SessionId): number {
    this.#bursts.push({ sender, senderLife: lifeName(sender), session, place: placeOf(sender, session), confirmed: new Set(), received: new Set(), last: 0, waiting: 0 });
    return this.#bursts.length - 1;
  }
  data(burst: number, number: number): Uint8Array {
    return new Uint8Array(Uint32Array.of(burst, number).buffer);
  }
  sending(burst: number): void {
    this.#bursts[burst]!.waiting += 1;
  }
  ended(burst: number, number: number, isConfirmed: boolean): void {
    this.#bursts[burst]!.waiting -= 1;
    if (isConfirmed) this.#bursts[burst]!.confirmed.add(number);
  }

  received(by: NodeModel, session: SessionId, { event }: EventMessage): void {
    if (event.type !== "user") return;
    const [number = 0, message = 0] = new Uint32Array(Uint8Array.from(event.data).buffer);
    const burst = this.#bursts[number]!;
    burst.received.add(message);
    // One who was out offers again what it has not heard of, and one host after another gets what the former did not confirm.
    if (!isAsItWas(burst) || placeOf(by, session) !== burst.place) return;
    const { last } = burst;
    this.#world.check(message > last, () => `${lifeName(by)} gave the application message ${message} of burst ${number} after message ${last}`);
    burst.last = message;
  }

  /** In a healed world. */
  unrest(): string | undefined {
    for (const [number, burst] of this.#bursts.entries()) {
      if (!burst.sender.isDead && burst.waiting > 0) return `${burst.waiting} messages of burst ${number} still wait on ${burst.senderLife}`;
      if (!isAsItWas(burst)) continue;
      const lost = [...burst.confirmed].filter((message) => !burst.received.has(message));
      if (lost.length > 0) return `session ${burst.session} has not got messages ${lost} of burst ${number}, which were confirmed on ${burst.senderLife}`;
    }
    return undefined;
  }
}

function isAsItWas({ sender, senderLife, session, place }: Burst): boolean {
  return !sender.isDead && lifeName(sender) === senderLife && place !== undefined && placeOf(sender, session) === place;
}
function placeOf(node: NodeModel, session: SessionId): string | undefined {
  const record = node.node.session(session);
  return record === undefined || record.state === "failed" ? undefined : `${record.node} ${record.incarnation} ${record.hostGeneration}`;
}
