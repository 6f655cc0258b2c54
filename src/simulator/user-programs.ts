/**
 * What programs of users do with a file of the simulation; each says how it ended. Whatever happens, it closes what it opened.
 *
 * Not here  the kernel that serves them (kernel-model.ts), when they run (the scenes).
 */
import type { Random } from "../base/random.js";
import { BLOCKS, type FileModel } from "./file-model.js";
import type { KernelModel, UserOpen } from "./kernel-model.js";
import { sleep, type Thread } from "./world.js";

export function* readAll(kernel: KernelModel, file: FileModel): Thread<string> {
  const open = yield* kernel.open(file, false);
  if (open === undefined) return "open refused";
  const how = yield* readBlocks(kernel, open);
  kernel.close(open);
  return how;
}
function* readBlocks(kernel: KernelModel, open: UserOpen): Thread<string> {
  for (let block = 0; block < BLOCKS; block++) if (!(yield* kernel.read(open, block, false))) return "read refused";
  return "read";
}

/** Some blocks, and sometimes the modification time put back, as rsync and touch do. */
export function* rewrite(kernel: KernelModel, file: FileModel, random: Random): Thread<string> {
  const open = yield* kernel.open(file, true);
  if (open === undefined) return "open for writing refused";
  const how = yield* rewriteBlocks(kernel, open, random);
  kernel.close(open);
  return how;
}
function* rewriteBlocks(kernel: KernelModel, open: UserOpen, random: Random): Thread<string> {
  const { mtimeNs } = open.file;
  for (let block = 0; block < BLOCKS; block++) {
    if (random.chance(0.5)) continue;
    if (!(yield* kernel.write(open, block))) return "write refused";
    yield* sleep(random.below(100));
    if (!(yield* kernel.read(open, block, false))) return "read refused";
  }
  if (random.chance(0.4)) yield* kernel.utimens(open, mtimeNs);
  return "written";
}

export function* truncate(kernel: KernelModel, file: FileModel, random: Random): Thread<string> {
  const open = yield* kernel.open(file, true);
  if (open === undefined) return "open for truncating refused";
  const isDone = yield* kernel.truncate(open, random.below(BLOCKS));
  kernel.close(open);
  return isDone ? "truncated" : "truncate refused";
}

/** Looks and stores through a mapping that lives for a while, half of the time after its file was closed. */
export function* map(
  kernel: KernelModel, file: FileModel, random: Random, how: { touches: number; pauseMs: number; stores: number } = { touches: 6, pauseMs: 1_500, stores: 0.5 },
): Thread<string> {
  const isWriter = random.chance(0.5);
  const open = yield* kernel.open(file, isWriter);
  if (open === undefined) return "open for mapping refused";
  kernel.map(open);
  if (random.chance(0.5)) kernel.close(open);
  const ended = yield* touchPages(kernel, open, random, { ...how, stores: isWriter ? how.stores : 0 });
  kernel.unmap(open);
  kernel.close(open);
  return ended;
}
function* touchPages(kernel: KernelModel, open: UserOpen, random: Random, { touches, pauseMs, stores }: { touches: number; pauseMs: number; stores: number }): Thread<string> {
  for (let touch = 0; touch < touches; touch++) {
    const block = random.below(BLOCKS);
    const isDone = random.chance(stores) ? yield* kernel.store(open, block) : yield* kernel.read(open, block, true);
    if (!isDone) return "fault refused";
    yield* sleep(random.below(pauseMs));
  }
  return "mapped";
}
