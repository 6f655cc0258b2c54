/**
 * One seed: every scene that is its turn, each in a world of its own.
 */
import { Random } from "../base/random.js";
import { ClusterScene } from "./cluster-scene.js";
import { DataScene } from "./data-scene.js";
import { JoinedScene } from "./joined-scene.js";
import { LeaseScene } from "./lease-scene.js";
import { World } from "./world.js";

export interface RunOptions {
  /** 3 to 7; drawn from the seed when absent. */
  readonly nodes?: number;
  /** Only this scene. */
  readonly scene?: string;
  readonly isTracing?: boolean;
  /** Told how much time passed in each scene's world. */
  readonly passed?: (simulatedMs: number) => void;
}
export interface SeedFailure {
  readonly scene: string;
  readonly text: string;
  readonly atMs: number;
  readonly trace: readonly string[];
}

interface Scene {
  readonly run: (world: World, nodes: number, options: RunOptions) => void;
  /** Every so many seeds. */
  readonly every: number;
}
const scenes: Readonly<Record<string, Scene>> = {
  lease: { run: (world, nodes) => new LeaseScene(world, nodes).run(), every: 4 },
  cluster: { run: (world, nodes) => new ClusterScene(world, nodes).run(), every: 2 },
  data: { run: (world, nodes) => new DataScene(world, nodes).run(), every: 1 },
  joined: { run: (world, nodes) => new JoinedScene(world, nodes).run(), every: 2 },
};
export const sceneNames = Object.keys(scenes);

/** Undefined when every promise held. */
export function runSeed(options: RunOptions & { readonly seed: number }): SeedFailure | undefined {
  for (const [at, [name, scene]] of Object.entries(scenes).entries()) {
    if (options.scene === undefined ? options.seed % scene.every !== 0 : options.scene !== name) continue;
    const world = new World(new Random(options.seed * 16 + at));
    world.isTracing = options.isTracing === true;
    const drawn = world.random.between(3, 7);
    try {
      scene.run(world, options.nodes ?? drawn, options);
    } catch (error) {
      const isViolation = error instanceof Error && error.name === "Violation";
      const text = isViolation ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
      return { scene: name, text, atMs: world.nowMs, trace: world.trace };
    } finally {
      options.passed?.(world.nowMs);
    }
  }
  return undefined;
}
