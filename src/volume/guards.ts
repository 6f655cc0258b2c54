/**
 * Descriptors opened for applications: those with the exclusive guard, of which the application has a copy while ours serves
 * its later record changes and punches, and those for reading, which wait to be fetched against their ticket.
 *
 * Our copy of a guard is closed on `invisible.close`, with its token, and when its application goes; the guard itself stands
 * until the application's copy is closed too (safety C1). A descriptor in use by a job is closed after the job.
 *
 * Owns      ids, tickets, who may use which.
 * Not here  opening and closing, which may block (service.ts has it done by a worker).
 */
import { randomBytes } from "node:crypto";
import type { DmFailure } from "../dmapi/errors.js";
import type { Handle, SessionId, Token } from "../dmapi/ids.js";

export const DESCRIPTORS_PER_CLIENT_MAX = 1024;

export interface Owner {
  /** The application's connection. */
  readonly client: number;
  readonly session?: SessionId;
  readonly token?: Token;
}
interface Descriptor {
  readonly fd: number;
  /** Guard entries, tickets and running jobs. */
  users: number;
}
interface Guard {
  readonly id: number;
  readonly owner: Owner;
  readonly handle: Handle;
  readonly descriptor: Descriptor;
}
interface Ticket {
  readonly owner: Owner;
  readonly descriptor: Descriptor;
}

/** Of the whole process: an application closes a guard by its id alone. */
let lastId = 0;

export class Guards {
  readonly #close: (fd: number) => void;
  readonly #guards = new Map<number, Guard>();
  readonly #tickets = new Map<string, Ticket>();

  constructor(close: (fd: number) => void) {
    this.#close = close;
  }

  hasRoom(client: number): boolean {
    let count = 0;
    for (const guard of this.#guards.values()) if (guard.owner.client === client) count++;
    for (const ticket of this.#tickets.values()) if (ticket.owner.client === client) count++;
    return count < DESCRIPTORS_PER_CLIENT_MAX;
  }

  addReader(owner: Owner, fd: number): { ticket: string } {
    return { ticket: this.#issue(owner, { fd, users: 0 }) };
  }
  addGuard(owner: Owner, handle: Handle, fd: number): { ticket: string; guard: number } {
    return this.#add(owner, handle, { fd, users: 0 });
  }
  /** Another guard of the same application on the same object shares the descriptor; undefined when it has none. */
  shareGuard(owner: Owner, handle: Handle): { ticket: string; guard: number } | undefined {
    const present = this.#of(owner.client, handle);
    return present === undefined ? undefined : this.#add(owner, handle, present.descriptor);
  }
  #add(owner: Owner, handle: Handle, descriptor: Descriptor): { ticket: string; guard: number } {
    const id = ++lastId;
    descriptor.users++;
    this.#guards.set(id, { id, owner, handle, descriptor });
    return { guard: id, ticket: this.#issue(owner, descriptor) };
  }
  #issue(owner: Owner, descriptor: Descriptor): string {
    const ticket = randomBytes(16).toString("hex");
    descriptor.users++;
    this.#tickets.set(ticket, { owner, descriptor });
    return ticket;
  }

  /** Once: the descriptor to pass on; `release` when it has been passed. */
  redeem(ticket: string): { readonly fd: number; readonly client: number; release(): void } | undefined {
    const found = this.#tickets.get(ticket);
    if (found === undefined) return undefined;
    this.#tickets.delete(ticket);
    return { fd: found.descriptor.fd, client: found.owner.client, release: this.#releaser(found.descriptor) };
  }

  /**
   * The descriptor for a job of that client on that object: the guard it names, else one it has there anyway, else none.
   * EBADF: no such guard of this application on this object. `release` when the job is over.
   */
  use(client: number, handle: Handle, guard: number | undefined): { readonly fd: number; release(): void } | undefined | DmFailure {
    const found = guard === undefined ? this.#of(client, handle) : this.#guards.get(guard);
    if (guard !== undefined && (found === undefined || found.owner.client !== client || found.handle !== handle)) {
      return { code: "EBADF", message: `guard ${guard} is none of this application's on this object` };
    }
    if (found === undefined) return undefined;
    found.descriptor.users++;
    return { fd: found.descriptor.fd, release: this.#releaser(found.descriptor) };
  }

  /** EBADF when the client has no such guard. */
  drop(client: number, id: number): DmFailure | undefined {
    const guard = this.#guards.get(id);
    if (guard === undefined || guard.owner.client !== client) return { code: "EBADF", message: `no guard ${id}` };
    this.#remove(guard);
    return undefined;
  }
  dropClient(client: number): void {
    this.#dropWhere((owner) => owner.client === client);
  }
  dropToken(session: SessionId, token: Token): void {
    this.#dropWhere((owner) => owner.session === session && owner.token === token);
  }
  dropAll(): void {
    this.#dropWhere(() => true);
  }
  get size(): number {
    return this.#guards.size + this.#tickets.size;
  }

  #dropWhere(isMeant: (owner: Owner) => boolean): void {
    for (const [text, ticket] of this.#tickets) {
      if (!isMeant(ticket.owner)) continue;
      this.#tickets.delete(text);
      this.#leave(ticket.descriptor);
    }
    for (const guard of [...this.#guards.values()]) if (isMeant(guard.owner)) this.#remove(guard);
  }
  #remove(guard: Guard): void {
    this.#guards.delete(guard.id);
    this.#leave(guard.descriptor);
  }
  #of(client: number, handle: Handle): Guard | undefined {
    for (const guard of this.#guards.values()) if (guard.owner.client === client && guard.handle === handle) return guard;
    return undefined;
  }
  #releaser(descriptor: Descriptor): () => void {
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#leave(descriptor);
    };
  }
  #leave(descriptor: Descriptor): void {
    descriptor.users--;
    if (descriptor.users === 0) this.#close(descriptor.fd);
  }
}
