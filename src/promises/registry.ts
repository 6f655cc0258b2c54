/**
 * What is promised of the registry as the nodes tell it: each (file system, event) has one owner, and what has the same
 * version is the same.
 *
 * Source    requirements R2, R5; blueprint promise 3.
 */
import type { StatusDocument } from "../dmapi/status.js";
import type { Check } from "./check.js";

/** One registry as text: two that are equal give the same, in whichever order they tell it. */
export function registryText({ sessions, dispositions }: StatusDocument["registry"]): string {
  return JSON.stringify([[...sessions].sort((a, b) => a.id - b.id), dispositions.map((each) => JSON.stringify(each)).sort()]);
}

/** Registries of members of one view. */
export function checkRegistries(check: Check, told: readonly { readonly node: string; readonly registry: StatusDocument["registry"] }[]): void {
  const byVersion = new Map<number, { readonly node: string; readonly registry: StatusDocument["registry"] }>();
  for (const { node, registry } of told) {
    const owners = new Set<string>();
    for (const { fs, event } of registry.dispositions) {
      check(event === "mount" || !owners.has(`${fs} ${event}`), () => `on ${node} ${event} of ${fs} has two owners`);
      owners.add(`${fs} ${event}`);
    }
    const other = byVersion.get(registry.version);
    byVersion.set(registry.version, { node, registry });
    if (other === undefined) continue;
    const [text, otherText] = [registryText(registry), registryText(other.registry)];
    check(text === otherText, () => `registry version ${registry.version} is ${otherText} on ${other.node} and ${text} on ${node}`);
  }
}
