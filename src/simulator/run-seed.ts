/**
 * One seed: one history of the scene whose turn it is, or of the scene that was asked for.
 */
import { Random } from "../base/random.js";
import { ClusterScene } from "./cluster-scene.js";
import { DataScene } from "./data-scene.js";
import { JoinedScene } from "./joined-scene.js";
import { LeaseScene } from "./lease-scene.js";
import { stresses, stressOf } from "./stress.js";
import { World } from "./world.js";

export interface RunOptions {
  /** 3 to 7; drawn from the seed when absent. */
  readonly nodes?: number;
  /** Only this scene. */
  readonly scene?: string;
  /** What to lean on (stress.ts); drawn from the seed when absent. */
  readonly stress?: string;
  /** Numbered items that do not take part ("user 3"). */
  readonly leftOut?: readonly string[];
  readonly isTracing?: boolean;
  /** Told how much time passed in its world. */
  readonly passed?: (simulatedMs: number) => void;
  /** Told what was traced, also when every promise held. */
  readonly traced?: (trace: readonly string[]) => void;
}
export interface SeedFailure {
  readonly scene: string;
  readonly text: string;
  readonly atMs: number;
  readonly trace: readonly string[];
  readonly nodes: number;
  /** How many items of each kind the history had until it failed. */
  readonly items: ReadonlyMap<string, number>;
}

const scenes: Readonly<Record<string, (world: World, nodes: number) => void>> = {
  lease: (world, nodes) => new LeaseScene(world, nodes).run(),
  cluster: (world, nodes) => new ClusterScene(world, nodes).run(),
  data: (world, nodes) => new DataScene(world, nodes).run(),
  joined: (world, nodes) => new JoinedScene(world, nodes).run(),
};
export const sceneNames = Object.keys(scenes);
/** Whose turn it is, by the seed: most often those in which most can go wrong. */
const turns = ["joined", "cluster", "cluster", "joined", "joined", "data", "lease", "data"] as const;

/** Whole daemons cost more with each node, and hardly any fault needs many of them. */
const sizesOfJoined = [3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7] as const;

/** Undefined when every promise held. */
export function runSeed(options: RunOptions & { readonly seed: number }): SeedFailure | undefined {
  const name = options.scene ?? turns[options.seed % turns.length]!;
  const world = new World(new Random(options.seed * 16 + sceneNames.indexOf(name)));
  world.isTracing = options.isTracing === true;
  world.stress = stresses[options.stress ?? stressOf(options.seed, name)]!;
  world.leftOut = new Set(options.leftOut);
  const drawn = name === "joined" ? world.random.pick(sizesOfJoined) : world.random.between(3, 7);
  const nodes = options.nodes ?? drawn;
  try {
    scenes[name]!(world, nodes);
    return undefined;
  } catch (error) {
    const isViolation = error instanceof Error && error.name === "Violation";
    const text = isViolation ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { scene: name, text, atMs: world.nowMs, trace: world.trace, nodes, items: world.items };
  } finally {
    options.passed?.(world.nowMs);
    options.traced?.(world.trace);
  }
}
