/**
 * One seed: every scene, each in a world of its own.
 */
import { Random } from "../base/random.js";
import { ClusterScene } from "./cluster-scene.js";
import { LeaseScene } from "./lease-scene.js";
import { World } from "./world.js";

export interface SeedOptions {
  readonly seed: number;
  /** 3 to 7; drawn from the seed when absent. */
  readonly nodes?: number;
  /** Only this scene. */
  readonly scene?: string;
  readonly isTracing?: boolean;
}
export interface SeedFailure {
  readonly scene: string;
  readonly error: Error;
  readonly atMs: number;
  readonly trace: readonly string[];
}

const scenes: Readonly<Record<string, (world: World, nodes: number) => void>> = {
  lease: (world, nodes) => new LeaseScene(world, nodes).run(),
  cluster: (world, nodes) => new ClusterScene(world, nodes).run(),
};
export const sceneNames = Object.keys(scenes);

/** Undefined when every promise held. */
export function runSeed(options: SeedOptions): SeedFailure | undefined {
  for (const [at, name] of sceneNames.entries()) {
    if (options.scene !== undefined && options.scene !== name) continue;
    const world = new World(new Random(options.seed * 16 + at));
    world.isTracing = options.isTracing === true;
    const nodes = options.nodes ?? world.random.between(3, 7);
    try {
      scenes[name]!(world, nodes);
    } catch (error) {
      return { scene: name, error: error instanceof Error ? error : new Error(String(error)), atMs: world.nowMs, trace: world.trace };
    }
  }
  return undefined;
}
