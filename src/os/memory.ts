/**
 * Memory mappings of files, for programs that must touch pages as mmap users do.
 *
 * A touch of a view may block in a page fault, and raises SIGBUS beyond the end of the file: use it only in processes
 * that may block and die.
 *
 * Source    mmap(2), munmap(2), msync(2).
 */
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const rawMmap = libc.func("void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)");
const rawMunmap = libc.func("int munmap(void *addr, size_t length)");
const rawMsync = libc.func("int msync(void *addr, size_t length, int flags)");

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MS_SYNC = 4;

export interface Mapping {
  /** The mapped bytes themselves; invalid after `unmap`. */
  readonly bytes: Uint8Array;
  /** 0, or the errno negated. */
  sync(): number;
  unmap(): void;
}

/** A shared mapping of [0, length) of `fd`, or the errno negated. */
export function mapFile(fd: number, length: number, isWritable: boolean): Mapping | number {
  const address: unknown = rawMmap(null, length, isWritable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  const errno = koffi.errno();
  if (address === null || koffi.address(address) === 0xffffffffffffffffn) return -errno;
  return {
    bytes: new Uint8Array(koffi.view(address, length)),
    sync: () => (rawMsync(address, length, MS_SYNC) === 0 ? 0 : -koffi.errno()),
    unmap: () => {
      rawMunmap(address, length);
    },
  };
}
