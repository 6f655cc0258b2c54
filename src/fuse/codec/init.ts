/**
 * What we agree with the kernel when a mount begins.
 *
 * Never taken: ASYNC_READ (held background reads would stop all others and get no interrupts, safety H2),
 * WRITEBACK_CACHE (ranges of writes would be lost), a request time-out (it ends the connection). PASSTHROUGH only where
 * this mount wants it.
 *
 * Source    linux/fuse.h fuse_init_in, fuse_init_out; fuse-facts 0 and 8.
 */
import { initFlags as f, initFlags2 as f2, KERNEL_MINOR_VERSION, KERNEL_MINOR_VERSION_MIN, KERNEL_VERSION, MAX_PAGES, MAX_WRITE } from "./constants.js";
import type { ReplyBuffer } from "./reply.js";
import type { RequestOf } from "./request.js";

const wanted =
  f.posixLocks | f.flockLocks | f.atomicTruncate | f.bigWrites | f.dontMask | f.autoInvalData | f.doReaddirplus | f.readdirplusAuto |
  f.parallelDirops | f.posixAcl | f.abortError | f.maxPages | f.handleKillprivV2 | f.setxattrExt | f.initExt;
const wanted2 = f2.hasExpireOnly | f2.createSuppGroup | f2.directIoAllowMmap | f2.hasResend;
const needed = f.posixLocks | f.flockLocks | f.atomicTruncate | f.autoInvalData | f.setxattrExt;

/** How deep file systems may lie above each other when ours passes through to its backing: that is a plain one. */
const STACK_DEPTH = 1;

export interface Agreed {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  /** Shared mappings of files with direct opens work. */
  readonly allowsDirectMmap: boolean;
  /** Opens may be answered with a backing file. */
  readonly hasPassthrough: boolean;
  /** Another server may go on with this connection. */
  readonly hasResend: boolean;
}

/** The agreement, or why this kernel cannot be served. A kernel with a newer major version asks again with ours. */
export function agree(init: RequestOf<"init">, wants: { readonly passthrough: boolean } = { passthrough: false }): Agreed | { readonly refusal: string } {
  if (init.major < KERNEL_VERSION || (init.major === KERNEL_VERSION && init.minor < KERNEL_MINOR_VERSION_MIN)) {
    return { refusal: `the kernel speaks FUSE ${init.major}.${init.minor}; 7.${KERNEL_MINOR_VERSION_MIN} is the least that works` };
  }
  const flags = wanted & init.flags;
  if ((flags & needed) !== needed) return { refusal: `the kernel lacks FUSE capabilities 0x${(needed & ~flags).toString(16)}` };
  const hasMore = (flags & f.initExt) !== 0;
  const flags2 = hasMore ? (wanted2 | (wants.passthrough ? f2.passthrough : 0)) & init.flags2 : 0;
  return {
    minor: Math.min(init.minor, KERNEL_MINOR_VERSION), flags, flags2, allowsDirectMmap: (flags2 & f2.directIoAllowMmap) !== 0,
    hasPassthrough: (flags2 & f2.passthrough) !== 0, hasResend: (flags2 & f2.hasResend) !== 0,
  };
}

export function writeInitReply(reply: ReplyBuffer, init: RequestOf<"init">, agreed: Agreed): Buffer {
  reply.begin(init.header.unique).u32(KERNEL_VERSION).u32(KERNEL_MINOR_VERSION).u32(init.maxReadahead).u32(agreed.flags);
  reply.u32(65535 | (49151 << 16)); // max_background, congestion_threshold
  reply.u32(MAX_WRITE).u32(1); // time granularity: 1 ns
  reply.u32(MAX_PAGES).u32(agreed.flags2);
  reply.u32(agreed.hasPassthrough ? STACK_DEPTH : 0);
  for (let i = 0; i < 6; i++) reply.u32(0); // request_timeout and unused
  return reply.finish();
}
