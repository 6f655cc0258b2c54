/**
 * Who a thread is while it does a user's file operation.
 *
 * The kernel has already checked permissions on the mount; the backing only needs the right owner. So the thread takes the
 * user's file-system uid and gid and raises DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER again, which the change of uid drops.
 * SYS_RESOURCE is dropped for good, or quotas and the root reserve would be ignored (safety H10). All by raw system calls:
 * glibc's setgroups would change every thread.
 *
 * Between `become` and `revert` only synchronous calls may run: a thread that Node.js starts meanwhile inherits the identity.
 * Results follow native.ts.
 */
import { rawSyscall, rawSyscallWithPath, rawSyscallWithPointers, syscallNumbers } from "./native.js";
import { assert } from "../base/assert.js";

const CAPABILITY_VERSION_3 = 0x20080522;
const CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_DAC_READ_SEARCH = 2, CAP_FOWNER = 3, CAP_FSETID = 4, CAP_LINUX_IMMUTABLE = 9, CAP_SYS_RESOURCE = 24, CAP_MKNOD = 27, CAP_MAC_OVERRIDE = 32;
const bit = (capability: number) => 1n << BigInt(capability);
const fileCapabilities = [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_LINUX_IMMUTABLE, CAP_MKNOD, CAP_MAC_OVERRIDE]
  .reduce((set, capability) => set | bit(capability), 0n);
const raised = bit(CAP_DAC_OVERRIDE) | bit(CAP_DAC_READ_SEARCH) | bit(CAP_FOWNER);

const header = Buffer.alloc(8);
header.writeUInt32LE(CAPABILITY_VERSION_3, 0);

export interface Capabilities {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}
/** Of the calling thread, or the negative errno. */
export function capabilities(): Capabilities | number {
  const data = Buffer.alloc(24);
  const result = rawSyscallWithPointers(syscallNumbers.capget, header, data, 0, 0, 0);
  if (result < 0) return result;
  const join = (at: number) => BigInt(data.readUInt32LE(at)) | (BigInt(data.readUInt32LE(at + 12)) << 32n);
  return { effective: join(0), permitted: join(4), inheritable: join(8) };
}
function encodeCapabilities(set: Capabilities): Buffer {
  const data = Buffer.alloc(24);
  [set.effective, set.permitted, set.inheritable].forEach((value, index) => {
    data.writeUInt32LE(Number(value & 0xffffffffn), index * 4);
    data.writeUInt32LE(Number(value >> 32n), 12 + index * 4);
  });
  return data;
}

/** The identity of the calling thread; one object per thread, made when the thread starts. */
export class ThreadIdentity {
  readonly #own: Buffer;
  readonly #asUser: Buffer;
  readonly #withoutSetId: Buffer;
  readonly #groups = Buffer.alloc(4 * 64);
  #hasGroups = false;
  #isUser = false;
  #gid = 0;

  /** Drops SYS_RESOURCE from the thread. Only root can take other identities: `canChange` says so. */
  readonly canChange: boolean;

  constructor() {
    const now = capabilities();
    assert(typeof now !== "number", "capget of the own thread works");
    const effective = now.effective & ~bit(CAP_SYS_RESOURCE);
    this.#own = encodeCapabilities({ ...now, effective });
    this.#asUser = encodeCapabilities({ ...now, effective: (effective & ~fileCapabilities) | (raised & now.permitted) });
    this.#withoutSetId = encodeCapabilities({ ...now, effective: effective & ~bit(CAP_FSETID) });
    this.canChange = (now.permitted & bit(7)) !== 0n && (now.permitted & bit(6)) !== 0n;
    this.#setCapabilities(this.#own);
    rawSyscall(syscallNumbers.setgroups, 0, 0, 0, 0, 0);
  }

  /** `groups` are the supplementary ones that matter to the operation (the directory's group of a create). */
  become(uid: number, gid: number, groups: readonly number[] = []): number {
    if (uid === 0 && gid === 0 && groups.length === 0) return 0;
    if (groups.length > 0) {
      const count = Math.min(groups.length, 64);
      for (let index = 0; index < count; index++) this.#groups.writeUInt32LE(groups[index]! >>> 0, index * 4);
      const result = rawSyscallWithPath(syscallNumbers.setgroups, count, this.#groups, null, 0, 0);
      if (result < 0) return result;
      this.#hasGroups = true;
    }
    if (gid !== 0) rawSyscall(syscallNumbers.setfsgid, gid, 0, 0, 0, 0);
    this.#gid = gid;
    if (uid === 0) return 0;
    rawSyscall(syscallNumbers.setfsuid, uid, 0, 0, 0, 0);
    this.#isUser = true;
    const result = this.#setCapabilities(this.#asUser);
    if (result < 0) this.revert();
    return result;
  }

  /** Back to the daemon's own identity; asserted, since what follows would be done as somebody else. */
  revert(): void {
    if (this.#isUser) {
      rawSyscall(syscallNumbers.setfsuid, 0, 0, 0, 0, 0);
      assert(this.#setCapabilities(this.#own) >= 0, "a thread gets its own capabilities back");
      assert(rawSyscall(syscallNumbers.setfsuid, -1, 0, 0, 0, 0) === 0, "a thread is root again");
      this.#isUser = false;
    }
    if (this.#gid !== 0) {
      rawSyscall(syscallNumbers.setfsgid, 0, 0, 0, 0, 0);
      this.#gid = 0;
    }
    if (this.#hasGroups) {
      rawSyscall(syscallNumbers.setgroups, 0, 0, 0, 0, 0);
      this.#hasGroups = false;
    }
  }

  /** What is handed to the kernel meanwhile, to be written with this thread's rights, loses its set-id bits when it is written. */
  withoutSetIdRights(act: () => number): number {
    const result = this.#setCapabilities(this.#withoutSetId);
    if (result < 0) return result;
    try {
      return act();
    } finally {
      assert(this.#setCapabilities(this.#own) >= 0, "a thread gets its own capabilities back");
    }
  }

  #setCapabilities(data: Buffer): number {
    return rawSyscallWithPointers(syscallNumbers.capset, header, data, 0, 0, 0);
  }
}
