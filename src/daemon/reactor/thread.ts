/**
 * The reactor thread of one mount: reads the kernel's requests without blocking, sleeps in poll for at most a second at a
 * time, and is woken by its channel when the main thread has something for it, by its eventfd when a side thread has.
 *
 * Source    safety H1, M2 (ticks), M6, V13.
 */
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import { assert } from "../../base/assert.js";
import { RECEIVE_BUFFER_SIZE } from "../../fuse/codec/constants.js";
import { clearEvent, PollSet, POLLIN, POLLOUT, read } from "../../os/device.js";
import { errno, errnoName } from "../../os/errno.js";
import { separateFileMode, setIoFlusher, setThreadName } from "../../os/process.js";
import { ReactorEnd } from "../reactor-channel.js";
import type { ReactorOptions, ToReactor } from "../reactor-port.js";
import { takeThreadIdentity } from "./backing-calls.js";
import { Reactor } from "./reactor.js";
import { SideThreads, SLOW_MS } from "./side-threads.js";

/** What mount.ts hands over besides the options. */
export interface ThreadData {
  readonly options: ReactorOptions;
  readonly io: readonly MessagePort[];
  readonly notifiers: readonly MessagePort[];
  readonly over: SharedArrayBuffer;
}
/** What the reactor's worker posts to its parent: a side thread is needed, by its place among `io` and then `notifiers`. */
export type BeginSide = number;

/** Requests served before messages and timers are looked at again. */
const BATCH = 64;
const NOT_MOUNTED_YET_MS = 5;
const SIDE_LOOK_MS = 1000;
/** While requests come one by one, a second one is looked for only in each so many turns: else poll tells of it. */
const LOOK_FOR_SECOND_EACH = 16;
/** I/O workers that serve while no call is slow. */
const IO_THREADS_READY = 4;

assert(parentPort !== null, "the reactor runs in a worker");
const parent = parentPort;
const data = workerData as ThreadData;
const { options } = data;
setThreadName(`sluice-${options.fs}`);
setIoFlusher();
separateFileMode();
takeThreadIdentity();
const ticks = new Int32Array(options.ticks);
const beginFrom = (first: number) => (at: number) => parent.postMessage((first + at) satisfies BeginSide);
const io = new SideThreads(data.io, beginFrom(0), IO_THREADS_READY);
const [first, ...others] = data.notifiers;
const notifiers = new SideThreads([first!], beginFrom(data.io.length));
const patientNotifiers = new SideThreads(others, beginFrom(data.io.length + 1));
const channel = new ReactorEnd(options.channelFd);
const reactor = new Reactor(options, { post: (message) => channel.post(message), io, notifiers, patientNotifiers });
const { core } = reactor;
const receiveBuffer = Buffer.alloc(RECEIVE_BUFFER_SIZE);
const sideAnswers = new PollSet([{ fd: options.wakeFd, events: POLLIN }]);
const device = { fd: options.fuseFd, events: POLLIN };
const wake = { fd: options.wakeFd, events: POLLIN };
const poll = new PollSet([device, wake, { fd: options.channelFd, events: POLLIN }]);
/** While main has not taken all that was said. */
const pollUnsent = new PollSet([device, wake, { fd: options.channelFd, events: POLLIN | POLLOUT }]);
/** The device had something when it was last waited for; not looked at where that says no. */
let mayHaveRequests = true;
const mainTakes = new PollSet([{ fd: options.channelFd, events: POLLOUT }]);

const isTakenOver = options.survival?.left !== undefined;
if (isTakenOver) reactor.takeOver();
run();
endIo();
core.close();
channel.post({ kind: "ended", why: reactor.ended ?? "" });
while (!channel.flush()) mainTakes.wait(SIDE_LOOK_MS);

function run(): void {
  let isMounted = isTakenOver;
  /** Turns since a second request was looked for and not there; 0: the last time it was. */
  let alone = 0;
  while (reactor.ended === undefined) {
    Atomics.add(ticks, options.tickCell, 1);
    let served = 0;
    let pauseMs = -1;
    while (mayHaveRequests && served < BATCH && reactor.ended === undefined) {
      if (served === 1 && alone > 0 && !core.journal.hasPast) {
        alone = (alone + 1) % LOOK_FOR_SECOND_EACH;
        break;
      }
      const length = read(options.fuseFd, receiveBuffer, 0, receiveBuffer.length);
      if (length >= 0) {
        isMounted = true;
        served++;
        reactor.handle(receiveBuffer, length);
        core.runReady();
      } else if (length === -errno.EPERM && !isMounted) {
        pauseMs = NOT_MOUNTED_YET_MS; // the device is not bound to its mount yet
        break;
      } else if (length === -errno.EAGAIN) {
        if (core.journal.hasPast) core.journal.pastIsOver();
        if (served <= 1) alone = 1;
        break;
      }
      else if (length === -errno.ENODEV) reactor.ended = "unmounted";
      else if (length === -errno.ECONNABORTED) reactor.ended = "the connection was aborted";
      else if (length !== -errno.EINTR && length !== -errno.ENOENT) reactor.ended = `the device cannot be read (${errnoName(length)})`;
    }
    core.timers.runDue();
    if (io.hasQueue) io.assign();
    reactor.look();
    core.runReady();
    core.keptNames.flush();
    sleep(served === BATCH || core.hasReady ? 0 : pauseMs >= 0 ? pauseMs : untilNextMs(), pauseMs >= 0);
  }
}

function untilNextMs(): number {
  return io.hasQueue ? Math.min(SLOW_MS, core.timers.untilNextMs) : core.timers.untilNextMs;
}

/**
 * The side threads know descriptors by their numbers, and "ended" is taken for an acknowledgement of everything: nothing is
 * closed or said before the last call of theirs has returned (safety C4). Where the next daemon goes on, what they had not
 * begun is not answered: the kernel asks that one (safety H11).
 */
function endIo(): void {
  io.leavesUndone = reactor.isLeft;
  Atomics.store(new Int32Array(data.over), 0, 1);
  while (io.waiting > 0) {
    Atomics.add(ticks, options.tickCell, 1);
    if (sideAnswers.wait(SIDE_LOOK_MS) > 0) clearEvent(options.wakeFd);
    io.receive();
    core.runReady();
  }
}

function sleep(timeoutMs: number, isDeviceUnbound: boolean): void {
  if (isDeviceUnbound) {
    // poll would return at once with an error: only the pause counts.
    Atomics.wait(ticks, options.tickCell, Atomics.load(ticks, options.tickCell), timeoutMs);
    core.timers.tick();
    receive();
    return;
  }
  const set = channel.hasUnsent ? pollUnsent : poll;
  const ready = set.wait(timeoutMs);
  core.timers.tick();
  mayHaveRequests = ready < 0 || (ready > 0 && set.happened(0) !== 0) || core.journal.hasPast;
  if (ready <= 0) return;
  if (channel.hasUnsent) channel.flush();
  if (set.happened(2) !== 0) channel.receive(obey);
  if (set.happened(1) !== 0) hearSides();
}

function obey(message: ToReactor): void {
  reactor.obey(message);
  core.runReady();
}
function receive(): void {
  channel.receive(obey);
  hearSides();
}
function hearSides(): void {
  clearEvent(options.wakeFd);
  io.receive();
  notifiers.receive();
  patientNotifiers.receive();
  core.runReady();
}
