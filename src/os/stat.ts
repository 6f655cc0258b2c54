/**
 * Attributes of files and file systems as the kernel lays them out, read in place: one buffer is filled again and again.
 *
 * Units     inode and device numbers are bigint (they go beyond 2^53); times are nanoseconds since 1970.
 * Source    struct statx, struct statfs.
 */
export const fileTypes = { mask: 0o170000, regular: 0o100000, directory: 0o040000, symlink: 0o120000, character: 0o020000, block: 0o060000, fifo: 0o010000, socket: 0o140000 } as const;

/** struct statx. Valid until the next call that fills it. */
export class FileStat {
  readonly bytes = Buffer.alloc(256);

  get blockSize(): number { return this.bytes.readUInt32LE(4); }
  /** Nobody may do anything to it but append. */
  get isAppendOnly(): boolean { return (this.bytes.readUInt32LE(8) & 0x20) !== 0; }
  get nlink(): number { return this.bytes.readUInt32LE(16); }
  get uid(): number { return this.bytes.readUInt32LE(20); }
  get gid(): number { return this.bytes.readUInt32LE(24); }
  get mode(): number { return this.bytes.readUInt16LE(28); }
  get ino(): bigint { return this.bytes.readBigUInt64LE(32); }
  get size(): number { return this.#safe(40); }
  /** Of 512 bytes. */
  get blocks(): number { return this.#safe(48); }
  get atimeNs(): bigint { return this.#time(64); }
  get btimeNs(): bigint { return this.#time(80); }
  get ctimeNs(): bigint { return this.#time(96); }
  get mtimeNs(): bigint { return this.#time(112); }
  get rdevMajor(): number { return this.bytes.readUInt32LE(128); }
  get rdevMinor(): number { return this.bytes.readUInt32LE(132); }
  get devMajor(): number { return this.bytes.readUInt32LE(136); }
  get devMinor(): number { return this.bytes.readUInt32LE(140); }
  get rdev(): bigint { return joinDevice(this.rdevMajor, this.rdevMinor); }
  get dev(): bigint { return joinDevice(this.devMajor, this.devMinor); }
  get isRegular(): boolean { return (this.mode & fileTypes.mask) === fileTypes.regular; }
  get isDirectory(): boolean { return (this.mode & fileTypes.mask) === fileTypes.directory; }
  get isSymlink(): boolean { return (this.mode & fileTypes.mask) === fileTypes.symlink; }

  /** The inode number's eight bytes, little endian, without a detour through a number. */
  copyIno(target: Buffer, at: number): void {
    this.bytes.copy(target, at, 32, 40);
  }

  /** Seconds and nanoseconds of a time, for those who need them apart. */
  secondsOf(time: "atime" | "mtime" | "ctime"): bigint { return this.bytes.readBigInt64LE(timeAt[time]); }
  nanosecondsOf(time: "atime" | "mtime" | "ctime"): number { return this.bytes.readUInt32LE(timeAt[time] + 8); }

  #safe(at: number): number {
    return this.bytes.readUInt32LE(at) + this.bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
  }
  #time(at: number): bigint {
    return this.bytes.readBigInt64LE(at) * 1_000_000_000n + BigInt(this.bytes.readUInt32LE(at + 8));
  }
}
const timeAt = { atime: 64, ctime: 96, mtime: 112 } as const;

/** makedev(3). */
export function joinDevice(major: number, minor: number): bigint {
  const a = BigInt(major);
  const b = BigInt(minor);
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn);
}

/** struct statfs. */
export class FileSystemStat {
  readonly bytes = Buffer.alloc(120);

  get type(): number { return Number(this.bytes.readBigInt64LE(0) & 0xffffffffn); }
  get blockSize(): number { return Number(this.bytes.readBigInt64LE(8)); }
  get blocks(): bigint { return this.bytes.readBigUInt64LE(16); }
  get blocksFree(): bigint { return this.bytes.readBigUInt64LE(24); }
  get blocksAvailable(): bigint { return this.bytes.readBigUInt64LE(32); }
  get files(): bigint { return this.bytes.readBigUInt64LE(40); }
  get filesFree(): bigint { return this.bytes.readBigUInt64LE(48); }
  get nameLengthMax(): number { return Number(this.bytes.readBigInt64LE(64)); }
  get fragmentSize(): number { return Number(this.bytes.readBigInt64LE(72)); }
  get flags(): number { return Number(this.bytes.readBigInt64LE(80)); }
}
