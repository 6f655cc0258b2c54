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
const rawMemfdCreate = libc.func("int memfd_create(const char *name, uint32_t flags)");
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

const MFD_CLOEXEC = 1;
/** A file in memory without a name: whoever has a descriptor of it has it, whatever becomes of its maker. Or the errno negated. */
export function makeMemoryFile(name: string): number {
  const fd = rawMemfdCreate(name, MFD_CLOEXEC) as number;
  return fd < 0 ? -koffi.errno() : fd;
}

/** A shared mapping of [offset, offset + length) of `fd`, or the errno negated. */
export function mapFile(fd: number, length: number, isWritable: boolean, offset = 0): Mapping | number {
  const address: unknown = rawMmap(null, length, isWritable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, offset);
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
