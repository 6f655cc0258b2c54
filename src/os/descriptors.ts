/**
 * Passing open descriptors between processes over unix sockets (SCM_RIGHTS): the lock on a passed descriptor and the power
 * to write through it live and die together (safety C1).
 *
 * Results follow native.ts.
 * Source    unix(7), cmsg(3).
 */
import { addressOf, bind, bindRaw, orErrno, pin } from "./native.js";
import { close } from "./files.js";
import { PollSet, POLLIN } from "./device.js";
import { errno } from "./errno.js";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SO_PEERCRED = 17;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const CMSG_HEADER = 16;
const DESCRIPTORS_MAX = 16;

const nativeSocket = bind("int socket(int domain, int type, int protocol)");
const nativeSocketpair = bind("int socketpair(int domain, int type, int protocol, void *pair)");
const nativeBind = bind("int bind(int fd, void *address, uint32_t length)");
const nativeListen = bind("int listen(int fd, int backlog)");
const nativeAccept = bind("int accept4(int fd, void *address, void *length, int flags)");
const nativeConnect = bind("int connect(int fd, void *address, uint32_t length)");
const nativeSendmsg = bindRaw("intptr_t sendmsg(int fd, void *message, int flags)");
const nativeRecvmsg = bindRaw("intptr_t recvmsg(int fd, void *message, int flags)");
const nativeSend = bindRaw("intptr_t send(int fd, void *buffer, uintptr_t length, int flags)");
const nativeRecv = bindRaw("intptr_t recv(int fd, void *buffer, uintptr_t length, int flags)");
const nativeGetsockopt = bind("int getsockopt(int fd, int level, int option, void *value, void *length)");

/** struct msghdr with one piece of data and room for descriptors; one of each per thread, so that they outlive every call. */
const message = { header: Buffer.alloc(56), control: Buffer.alloc(CMSG_HEADER + 4 * DESCRIPTORS_MAX), vector: Buffer.alloc(16) };
function prepareMessage(data: Buffer, controlLength: number): void {
  pin(data);
  message.control.fill(0);
  message.vector.writeBigUInt64LE(addressOf(data), 0);
  message.vector.writeBigUInt64LE(BigInt(data.length), 8);
  message.header.fill(0);
  message.header.writeBigUInt64LE(addressOf(message.vector), 16);
  message.header.writeBigUInt64LE(1n, 24);
  if (controlLength > 0) message.header.writeBigUInt64LE(addressOf(message.control), 32);
  message.header.writeBigUInt64LE(BigInt(controlLength), 40);
}

/** Sends `data` (at least one byte) and with its first byte the descriptors. Does not wait: -EAGAIN when the socket is full. */
export function sendDescriptors(socket: number, data: Buffer, fds: readonly number[]): number {
  if (data.length === 0 || fds.length > DESCRIPTORS_MAX) return -errno.EINVAL;
  const controlLength = CMSG_HEADER + 4 * fds.length;
  prepareMessage(data, fds.length === 0 ? 0 : alignTo8(controlLength));
  message.control.writeBigUInt64LE(BigInt(controlLength), 0);
  message.control.writeInt32LE(SOL_SOCKET, 8);
  message.control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [index, fd] of fds.entries()) message.control.writeInt32LE(fd, CMSG_HEADER + 4 * index);
  return orErrno(nativeSendmsg(socket, message.header, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/** What came in one receive: `length` of data (0: the other side closed) and the descriptors that travelled with it. */
export interface Received {
  readonly length: number;
  readonly fds: readonly number[];
}
/** Waits up to `timeoutMs`; the result is what came, or the negative errno (-ETIMEDOUT). */
export function receiveDescriptors(socket: number, into: Buffer, timeoutMs: number): Received | number {
  const deadline = performance.now() + timeoutMs;
  const poll = new PollSet([{ fd: socket, events: POLLIN }]);
  for (;;) {
    const left = deadline - performance.now();
    const ready = poll.wait(Math.max(0, Math.min(left, 1000)));
    if (ready < 0 && ready !== -errno.EINTR) return ready;
    if (ready > 0) return receiveMessage(socket, into);
    if (left <= 0) return -errno.ETIMEDOUT;
  }
}
function receiveMessage(socket: number, into: Buffer): Received | number {
  prepareMessage(into, message.control.length);
  const length = orErrno(nativeRecvmsg(socket, message.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
  if (length < 0) return length;
  const fds: number[] = [];
  const controlLength = Number(message.header.readBigUInt64LE(40));
  let at = 0;
  while (at + CMSG_HEADER <= controlLength) {
    const size = Number(message.control.readBigUInt64LE(at));
    if (size < CMSG_HEADER) break;
    if (message.control.readInt32LE(at + 8) === SOL_SOCKET && message.control.readInt32LE(at + 12) === SCM_RIGHTS) {
      for (let fdAt = at + CMSG_HEADER; fdAt + 4 <= at + size; fdAt += 4) fds.push(message.control.readInt32LE(fdAt));
    }
    at += alignTo8(size);
  }
  return { length, fds };
}

/** Stream: bytes in a row. Messages: each send is one receive. */
export type SocketForm = "stream" | "messages";
const typeOf = { stream: SOCK_STREAM, messages: SOCK_SEQPACKET } as const;

/** A connected socket; blocks until the listener has room. */
export function connectUnix(path: string, form: SocketForm = "stream"): number {
  return withAddress(path, form, nativeConnect);
}
/** One that others can connect to; nothing may have that name. */
export function listenUnix(path: string, form: SocketForm): number {
  const socket = withAddress(path, form, nativeBind);
  if (socket < 0) return socket;
  const result = nativeListen(socket, 8);
  if (result >= 0) return socket;
  close(socket);
  return result;
}
/** Blocks until somebody connects. */
export function acceptUnix(listening: number): number {
  return nativeAccept(listening, null, null, SOCK_CLOEXEC);
}
function withAddress(path: string, form: SocketForm, act: (socket: number, address: Buffer, length: number) => number): number {
  const bytes = Buffer.from(path);
  if (bytes.length > 107) return -errno.ENAMETOOLONG;
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  const socket = nativeSocket(AF_UNIX, typeOf[form] | SOCK_CLOEXEC, 0);
  if (socket < 0) return socket;
  const result = act(socket, address, 2 + bytes.length + 1);
  if (result < 0) {
    close(socket);
    return result;
  }
  return socket;
}
/** Two connected sockets, or the negative errno. */
export function socketPair(form: SocketForm = "stream"): readonly [number, number] | number {
  const pair = Buffer.alloc(8);
  const result = nativeSocketpair(AF_UNIX, typeOf[form] | SOCK_CLOEXEC, 0, pair);
  return result < 0 ? result : [pair.readInt32LE(0), pair.readInt32LE(4)];
}
/** Plain bytes on a socket without SIGPIPE. */
export function send(socket: number, data: Buffer): number {
  return orErrno(nativeSend(socket, data, data.length, MSG_NOSIGNAL));
}
/** As much as there is room for, without waiting: -EAGAIN when there is none. */
export function sendNow(socket: number, data: Uint8Array, length: number): number {
  return orErrno(nativeSend(socket, data, length, MSG_NOSIGNAL | MSG_DONTWAIT));
}
/** What is there, without waiting; 0: the other end is closed. */
export function receiveNow(socket: number, into: Uint8Array): number {
  return orErrno(nativeRecv(socket, into, into.length, MSG_DONTWAIT));
}
/** Who connected (SO_PEERCRED), or the negative errno. */
export function peerCredentials(socket: number): { pid: number; uid: number; gid: number } | number {
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(12);
  const result = nativeGetsockopt(socket, SOL_SOCKET, SO_PEERCRED, value, length);
  return result < 0 ? result : { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

function alignTo8(length: number): number {
  return (length + 7) & ~7;
}
