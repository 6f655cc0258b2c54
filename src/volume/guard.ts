/**
 * The guard of a file: locks on a reserved range of the backing file, on the very descriptor that does the I/O (safety C1).
 *
 *   shared     read lock on the whole range: a node that may write
 *   exclusive  write lock on the whole range: whoever punches or changes regions
 *   worker     write lock on one byte, its node's slot: parallel invisible writers, who keep users out but not each other
 *
 * The kernel keeps the lock exactly as long as the descriptor or a copy of it lives: through SIGSTOP of its holder, and
 * through its SIGKILL while another process has the descriptor. Users' own locks are clipped below the range. Beside the
 * range each holder puts a read lock on the byte of its slot, so that whoever is refused can say who stands in the way.
 *
 * Results are numbers as in os/native.ts; -EAGAIN: somebody's guard stands in the way.
 */
import { errno } from "../os/errno.js";
import { getLock, LockRequest, setLock } from "../os/locks.js";

export const SLOTS = 1024;
const GUARD_START = 1n << 62n;
const GUARD_LENGTH = BigInt(SLOTS);
const NAMES_START = GUARD_START + 4096n;
/** Users' flock is a lock on this byte; appends of different nodes take turns on the next (safety H9). */
export const FLOCK_BYTE = GUARD_START + 2048n;
export const APPEND_BYTE = GUARD_START + 2049n;
/** Holders of the shared guard take turns on this one to change what a record shows of times and size (record.ts). */
export const RECORD_BYTE = GUARD_START + 2050n;

export type GuardForm = "shared" | "exclusive" | "worker";
const request = new LockRequest();

/** Takes the guard in that form, or changes what the descriptor holds into it, without waiting. The descriptor is open for reading and writing. */
export function tryTakeGuard(fd: number, form: GuardForm, slot = 0): number {
  const place = BigInt(slot % SLOTS);
  const taken =
    form === "worker"
      ? setLock(fd, request.fill("write", GUARD_START + place, 1n))
      : setLock(fd, request.fill(form === "shared" ? "read" : "write", GUARD_START, GUARD_LENGTH));
  if (taken < 0) return taken === -errno.EACCES ? -errno.EAGAIN : taken;
  if (form === "worker") releaseBut(fd, place);
  setLock(fd, request.fill("read", NAMES_START + place, 1n));
  return 0;
}
function releaseBut(fd: number, place: bigint): void {
  if (place > 0n) setLock(fd, request.fill("unlock", GUARD_START, place));
  const after = GUARD_START + place + 1n;
  const left = GUARD_START + GUARD_LENGTH - after;
  if (left > 0n) setLock(fd, request.fill("unlock", after, left));
}

/** Gives the guard back, once the last I/O under it has returned. */
export function releaseGuard(fd: number): number {
  setLock(fd, request.fill("unlock", NAMES_START, GUARD_LENGTH));
  return setLock(fd, request.fill("unlock", GUARD_START, GUARD_LENGTH));
}

/** How often somebody who waits looks again. */
const LOOK_AGAIN_MS = 5;
const never = new Int32Array(new SharedArrayBuffer(4));
/** Waits, in a thread that may, up to `waitMs`; then -EBUSY. */
export function takeGuardWithin(fd: number, form: GuardForm, slot: number, waitMs: number): number {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const taken = tryTakeGuard(fd, form, slot);
    if (taken !== -errno.EAGAIN) return taken;
    if (performance.now() >= deadline) return -errno.EBUSY;
    Atomics.wait(never, 0, 0, LOOK_AGAIN_MS);
  }
}

export interface GuardHolders {
  readonly form: GuardForm;
  /** Slots of all who hold it in any form, as far as they can be told. */
  readonly slots: readonly number[];
}
/** Who would stand in the way of the exclusive guard; undefined when nobody does (any more). */
export function guardHolders(fd: number): GuardHolders | undefined {
  if (getLock(fd, request.fill("write", GUARD_START, GUARD_LENGTH)) < 0) return undefined;
  const conflict = request.conflict;
  if (conflict === undefined) return undefined;
  const form = conflict.type === "read" ? "shared" : conflict.length === 1n ? "worker" : "exclusive";
  const slots: number[] = [];
  for (let from = NAMES_START; from < NAMES_START + GUARD_LENGTH; ) {
    if (getLock(fd, request.fill("write", from, NAMES_START + GUARD_LENGTH - from)) < 0) break;
    const name = request.conflict;
    if (name === undefined) break;
    slots.push(Number(name.start - NAMES_START));
    from = name.start + name.length;
  }
  return { form, slots };
}
/** For people. `nameOfSlot` where the caller knows the members. */
export function describeHolders(holders: GuardHolders | undefined, nameOfSlot: (slot: number) => string = (slot) => `the node in slot ${slot}`): string {
  if (holders === undefined) return "nobody any more";
  const doing = { shared: "which has it open or may write to it", exclusive: "which moves its data", worker: "which writes it invisibly" }[holders.form];
  const who = holders.slots.length === 0 ? "a process" : holders.slots.map(nameOfSlot).join(", ");
  return `${who}, ${doing}`;
}

/** The last byte of a lock as its user asked for it: what was clipped went to the end. */
export function unclippedEnd(end: bigint): bigint {
  return end === GUARD_START - 1n ? LAST_OFFSET : end;
}
const LAST_OFFSET = (1n << 63n) - 1n;

/**
 * A user's lock range, inclusive ends as FUSE has them, kept below the reserved one; undefined when nothing is left, and
 * then nobody else can want it either.
 */
export function clipUserRange(start: bigint, end: bigint): { readonly start: bigint; readonly length: bigint } | undefined {
  if (start >= GUARD_START) return undefined;
  const last = end >= GUARD_START ? GUARD_START - 1n : end;
  return { start, length: last - start + 1n };
}
