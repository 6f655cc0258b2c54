/**
 * Which versions of the nodes' protocol this daemon speaks: those of this build. SLUICE_NODE_VERSIONS ("1", "1-2") says
 * others, so that tests can have clusters of mixed releases; it changes what is said and negotiated, not what is understood.
 */
import { parseVersions, type VersionRange } from "../base/version-range.js";
import { NODE_PROTOCOL_VERSIONS } from "../wire/node-frames.js";

/** @throws Error when the variable is no range of versions. */
export function spokenVersions(given: string | undefined = process.env["SLUICE_NODE_VERSIONS"]): VersionRange {
  if (given === undefined || given === "") return NODE_PROTOCOL_VERSIONS;
  const versions = parseVersions(given);
  if (versions === undefined) throw new Error(`SLUICE_NODE_VERSIONS: found ${JSON.stringify(given)}; allowed: a version or a range, such as 1 or 1-2`);
  return versions;
}
