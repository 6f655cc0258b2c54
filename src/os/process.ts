/**
 * Processes and threads: settings of the kernel that Node.js has no call for.
 *
 * Results follow native.ts.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { close } from "./files.js";
import { bind, rawSyscall, syscallNumbers, type Path } from "./native.js";

const nativePrctl = bind("int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)");
const PR_SET_PDEATHSIG = 1;
const PR_SET_NAME = 15;
const PR_SET_IO_FLUSHER = 57;

/** This process gets the signal when its parent's thread ends; ask `process.ppid` afterwards, it may be over already. */
export function setParentDeathSignal(signal: number): number {
  return nativePrctl(PR_SET_PDEATHSIG, signal, 0, 0, 0);
}
/** The thread serves a file system: the kernel does not make it wait for that file system's own memory (safety M6). Before SYS_RESOURCE is dropped. */
export function setIoFlusher(): number {
  return nativePrctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}
const nativePrctlName = bind("int prctl(int option, char *name, uint64_t b, uint64_t c, uint64_t d)");
/** Up to 15 bytes, as `ps -L` shows it. */
export function setThreadName(name: string): number {
  return nativePrctlName(PR_SET_NAME, name.slice(0, 15), 0, 0, 0);
}
export function threadId(): number {
  return rawSyscall(syscallNumbers.gettid, 0, 0, 0, 0, 0);
}

/** A descriptor of a process that stays that process when its number is used again; readable in poll when it has ended. */
export function pidfdOpen(pid: number): number {
  return rawSyscall(syscallNumbers.pidfd_open, pid, 0, 0, 0, 0);
}
export function pidfdSendSignal(pidfd: number, signal: number): number {
  return rawSyscall(syscallNumbers.pidfd_send_signal, pidfd, signal, 0, 0, 0);
}

const RLIMIT_NOFILE = 7;
const nativeGetrlimit = bind("int getrlimit(int resource, void *limit)");
const nativeSetrlimit = bind("int setrlimit(int resource, void *limit)");
/** Raises the number of open files to the hard limit, root's hard limit to `wanted`; the limit now in force. */
export function raiseOpenFileLimit(wanted: number): number {
  const limit = Buffer.alloc(16);
  const asked = nativeGetrlimit(RLIMIT_NOFILE, limit);
  if (asked < 0) return asked;
  const hard = limit.readBigUInt64LE(8);
  if (hard < BigInt(wanted)) {
    const raised = Buffer.alloc(16);
    raised.writeBigUInt64LE(BigInt(wanted), 0);
    raised.writeBigUInt64LE(BigInt(wanted), 8);
    if (nativeSetrlimit(RLIMIT_NOFILE, raised) === 0) return wanted;
  }
  limit.writeBigUInt64LE(hard, 0);
  const result = nativeSetrlimit(RLIMIT_NOFILE, limit);
  return result < 0 ? result : Number(hard);
}

const nativeUmount2 = bind("int umount2(char *target, int flags)");
export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;
export function unmount(target: Path, flags = 0): number {
  return nativeUmount2(target, flags);
}

const CLONE_FS = 0x200;
const nativeUnshare = bind("int unshare(int flags)");
const nativeUmask = bind("uint32_t umask(uint32_t mask)");
/** This thread alone gets a file mode mask of its own, of zero: what it creates gets the very mode it asks for. */
export function separateFileMode(): number {
  const separated = nativeUnshare(CLONE_FS);
  return separated < 0 ? separated : nativeUmask(0);
}

const CLONE_FILES = 0x400;
/**
 * This thread alone gets a table of descriptors of its own, with those of the process that it is to keep: the others are
 * closed here, and are the process's affair. What the runtime itself waits on is kept. 0 or the negative errno.
 */
export function separateDescriptors(keep: readonly number[]): number {
  const separated = nativeUnshare(CLONE_FILES);
  if (separated < 0) return separated;
  for (const name of readdirSync("/proc/thread-self/fd")) {
    const fd = Number(name);
    if (keep.includes(fd) || (fd > 2 && isOfRuntime(fd))) continue;
    close(fd);
  }
  return 0;
}
function isOfRuntime(fd: number): boolean {
  try {
    return /^(anon_inode:|pipe:)/.test(readlinkSync(`/proc/thread-self/fd/${fd}`));
  } catch {
    return true; // it was the listing's own
  }
}

const SIGIO = 29;
const SIG_IGN = 1;
const nativeSignal = bind("intptr_t signal(int number, intptr_t handler)");
/** The kernel sends it to who has a lease for the moment in which somebody else opens the file; it would end the process. */
export function ignoreLeaseSignals(): number {
  return nativeSignal(SIGIO, SIG_IGN);
}
