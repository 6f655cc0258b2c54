/**
 * Swarm testing: each seed leans on other weak places. A stress says what is likelier than usual in that history: where
 * processes are stopped, which of the faults come, how slow a worker, a wire or a mount may be, how coarse the times of
 * files are, and how often applications take rights. What a seed leans on is drawn from the seed, save where one is asked for.
 *
 * Not here  the scenes, which obey (joined-scene.ts, cluster-scene.ts, data-scene.ts).
 * Units     milliseconds; probabilities.
 * Source    safety H13.
 */
import { Random } from "../base/random.js";

/** Places where stopping is worst. */
export type Crossing = "operation" | "record" | "punch" | "restore" | "step" | "request";
export interface Stress {
  /** Probability of a stop each time a process passes there, instead of the scene's own. */
  readonly stopAt: Partial<Record<Crossing, number>>;
  /** How many stops there may be. */
  readonly stops: number;
  /** Of the scene's faults, only these; each scene numbers its own. */
  readonly faults: readonly number[] | undefined;
  /** Work waits in the queue of a worker: how often, how often long, and how long then. */
  readonly queue: { readonly chance: number; readonly longChance: number; readonly longMs: number };
  /** The slowest of each wire is drawn from these. */
  readonly wireMs: readonly number[];
  /** To some daemons the volume of the leases is slow: how often a rename is, and how slow at most, before it takes effect or after. */
  readonly slowRenames: { readonly chance: number; readonly ms: number };
  /** Leases go by the times for one machine, which have the least to spare. */
  readonly hasShortLeases: boolean;
  /** How long a mount may take, and how long after its node it may come. */
  readonly mountMs: number;
  /** Times of files go in steps of that. */
  readonly tickMs: number;
  /** Applications that take a right for themselves. */
  readonly holders: number;
  /** Commands that hand the management over. */
  readonly handOvers: number;
  /** Calls of the cluster scene come in bursts around the faults. */
  readonly isBursty: boolean;
  /** Nodes that are cut off from all others for long, while people go on working on either side. */
  readonly isolations: number;
  /** Users who look at mapped pages all the time and hardly ever store in one. */
  readonly mappers: number;
  /** Times when all nodes die at once. */
  readonly blackouts: number;
  /** Users who are killed while their operation waits. */
  readonly interrupts: number;
  /** Whether the files of a mount pass through to the kernel. What is open so cannot be moved, so a scene that is about moving has few. */
  readonly passthrough: number;
  /** How long a block takes at most to be copied out: large files give more time for what must not be missed. */
  readonly copyMs: number;
  /** So many of a scene's users take part. */
  readonly users: number;
  /** Commands that unmount the file system on a node and mount it again. */
  readonly remounts: number;
  /** Operations of users whose events go to durable sessions; none: no session is durable. */
  readonly durable: number;
}

const plain: Stress = {
  stopAt: {}, stops: 4, faults: undefined, queue: { chance: 0.06, longChance: 0.2, longMs: 2_000 }, wireMs: [0], mountMs: 20, tickMs: 10, holders: 3,
  slowRenames: { chance: 0, ms: 0 }, hasShortLeases: false, handOvers: 0,
  isBursty: false, mappers: 0, isolations: 0, blackouts: 0, interrupts: 0, remounts: 0, durable: 0, passthrough: 0.1, copyMs: 20, users: 1,
};
export const stresses: Readonly<Record<string, Stress>> = {
  plain,
  /** Who punches or stores a record stands still in the middle. */
  punches: { ...plain, stopAt: { punch: 0.25, record: 0.05 }, holders: 0 },
  records: { ...plain, stopAt: { record: 0.12, restore: 0.03 }, tickMs: 2_000 },
  /** Sick disks: what was admitted runs for long. */
  workers: { ...plain, queue: { chance: 0.3, longChance: 0.5, longMs: 14_000 }, handOvers: 12 },
  rights: { ...plain, holders: 40, faults: [0, 3, 5, 7, 8], mountMs: 3_000 },
  /** The node that waits for one wire hears long after the others. */
  wires: { ...plain, wireMs: [0, 0, 0, 300, 1_500], holders: 20, handOvers: 4 },
  migrators: { ...plain, stopAt: { step: 0.03, request: 0.06, restore: 0.03 }, stops: 12, faults: [1, 2] },
  managers: { ...plain, wireMs: [0, 0, 50, 400, 1_500], handOvers: 6, isBursty: true },
  /** Renewals and claims take effect late, or are answered late. */
  volumes: { ...plain, slowRenames: { chance: 0.4, ms: 3_900 }, hasShortLeases: true },
  /** Who is cut off goes by the old view for a while; what it is owed must not be given to others meanwhile. */
  isolations: { ...plain, faults: [1], holders: 0, isolations: 3 },
  mappings: { ...plain, mappers: 40, queue: { chance: 0.5, longChance: 0.6, longMs: 500 } },
  blackouts: { ...plain, blackouts: 2 },
  interrupts: { ...plain, interrupts: 150, queue: { chance: 0.3, longChance: 0.3, longMs: 4_000 } },
  /** Daemons die and freeze while kernels go on reading and writing by themselves. */
  passthrough: { ...plain, passthrough: 0.8, copyMs: 500, users: 0.4, tickMs: 2_000, stops: 12, stopAt: { operation: 0.01, punch: 0.05, record: 0.05 } },
  remounts: { ...plain, remounts: 14, mountMs: 1_000, interrupts: 10 },
  /** Events that are logged before their users go on, on a volume that tears what is not synced. */
  durable: { ...plain, durable: 200 },
};
export const stressNames = Object.keys(stresses);
/** What a seed leans on by itself; the others are asked for, mostly by a planted fault (mutants.ts). */
const drawn = ["plain", "punches", "records", "workers", "rights", "wires", "migrators", "managers"];
/** Scenes that have kernels, and how often such a history leans on what these read and write by themselves. */
const haveKernels = new Set(["data", "joined"]);
const PASSTHROUGH_CHANCE = 0.12;

/** What the seed leans on: many on nothing; some on durable sessions, which scene "cluster" alone has. */
export function stressOf(seed: number, scene: string): string {
  if (haveKernels.has(scene) && new Random(seed * 16 + 14).chance(PASSTHROUGH_CHANCE)) return "passthrough";
  const random = new Random(seed * 16 + 15);
  if (!random.chance(0.4)) return random.pick(drawn);
  return random.chance(0.3) ? "durable" : "plain";
}
