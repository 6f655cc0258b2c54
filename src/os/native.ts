/**
 * The one place where C functions are bound (koffi). Everything under os/ follows one convention:
 *
 * **A call returns a number: zero or more on success, the negative errno on failure. Nothing throws.**
 *
 * All calls are synchronous and block their thread, so those that may wait belong in a worker (safety H1, M12). A call may
 * give -EINTR wherever the system call does. Path and name arguments are JavaScript text, or bytes that end in a NUL.
 * Buffers are passed by address and only used during the call.
 *
 * Source    x86-64 and aarch64 Linux, glibc 2.30 or later; variadic functions are bound with fixed integer arguments,
 *           which is the same calling convention on both.
 */
import koffi from "koffi";

export type NativeArgument = number | bigint | string | Uint8Array | null;
export type NativeFunction = (...args: NativeArgument[]) => number;
/** Text, or bytes ending in a NUL. */
export type Path = string | Uint8Array;

const libc = koffi.load("libc.so.6");

/** `signature` is the C prototype. A negative result becomes the negative errno. */
export function bind(signature: string): NativeFunction {
  const raw = libc.func(signature) as unknown as NativeFunction;
  return (...args) => {
    const result = raw(...args);
    return result < 0 ? -koffi.errno() : result;
  };
}

/** Direct binding for hot paths: the caller applies `orErrno` to the result at once. */
export function bindRaw(signature: string): NativeFunction {
  return libc.func(signature) as unknown as NativeFunction;
}

export function orErrno(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** Where the bytes of a buffer lie. The number keeps nothing alive: `pin` the buffer until the call is over. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}
const pinned: [Uint8Array | null, Uint8Array | null] = [null, null];
/** Keeps one or two buffers, whose addresses stand in a structure, from the collector until the thread's next `pin`. */
export function pin(first: Uint8Array, second: Uint8Array | null = null): void {
  pinned[0] = first;
  pinned[1] = second;
}

/** Numbers of system calls that glibc does not wrap, or wraps for all threads of the process. */
const numbers = {
  x64: { setfsuid: 122, setfsgid: 123, setgroups: 116, capget: 125, capset: 126, gettid: 186 },
  arm64: { setfsuid: 151, setfsgid: 152, setgroups: 159, capget: 90, capset: 91, gettid: 178 },
} as const;
export const syscallNumbers = {
  ...(process.arch === "arm64" ? numbers.arm64 : numbers.x64),
  pidfd_send_signal: 424, pidfd_open: 434, openat2: 437,
};
export const rawSyscall = bind("intptr_t syscall(intptr_t number, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e)");
/** The same with the first two arguments as addresses. */
export const rawSyscallWithPointers = bind("intptr_t syscall(intptr_t number, void *a, void *b, intptr_t c, intptr_t d, intptr_t e)");
/** The same with the second and third as addresses. */
export const rawSyscallWithPath = bind("intptr_t syscall(intptr_t number, intptr_t a, char *b, void *c, intptr_t d, intptr_t e)");
