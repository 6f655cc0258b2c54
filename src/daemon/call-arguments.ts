/**
 * The edge where applications' calls come in: handles that this cluster has made, and arguments of the right shape for
 * the calls that the node itself answers. The calls of data management are checked by the machine that runs them.
 *
 * Source    safety H6 (handles carry a keyed checksum), H15; XDSM C429: EINVAL for a malformed argument, EBADF for a
 *           handle that names nothing of ours.
 */
import type { CallName } from "../dmapi/calls.js";
import type { DmFailure } from "../dmapi/errors.js";
import { GLOBAL_HANDLE, parseHandle } from "../dmapi/handle.js";
import { type Handle, NAME_PATTERN } from "../dmapi/ids.js";
import type { HandleSeal } from "../volume/handle-seal.js";
import { between, type Fault, type Field, flag, map, oneOf, optional, placeText, text, whole } from "./fields.js";

const name = text((found) => NAME_PATTERN.test(found), "letters, digits, '_', '.', '-', at most 63");
const count = whole(0, Number.MAX_SAFE_INTEGER);
const nothing = map({});

const shapes = {
  "node.status": nothing,
  "node.waiters": nothing,
  "cluster.waiters": nothing,
  "cluster.trace": map({ token: count }),
  "registry.audit": nothing,
  "node.log": map({ after: optional(count), waitMs: optional(between(0, 86_400_000)), max: optional(count) }),
  "manager.move": map({ to: name }),
  "node.fence": map({ node: name, force: optional(flag) }),
  "link.cut": map({ peer: name, direction: oneOf(["both", "send", "receive"]) }),
  "link.slow": map({ peer: name, delayMs: between(1, 60_000) }),
  "link.heal": map({ peer: optional(name) }),
  "test.spoil": map({ what: oneOf(["hosted-sessions", "registry", "distribution"]), on: optional(flag) }),
  "node.stop": nothing,
  "fs.list": nothing,
} as const satisfies Partial<Record<CallName, Field<unknown, unknown>>>;

/** What is wrong with a call, or undefined; EINVAL or EBADF. */
export function faultOf(called: string, args: unknown, seal: HandleSeal): DmFailure | undefined {
  if (Object.hasOwn(shapes, called)) {
    const faults: Fault[] = [];
    shapes[called as keyof typeof shapes].read(args, [], faults);
    const [fault] = faults;
    if (fault === undefined) return undefined;
    const what = fault.isUnknownKey ? "unknown key; allowed: " : "";
    return { code: "EINVAL", message: `${called}: ${placeText(fault.at, "its arguments")}: ${what}${fault.allowed}` };
  }
  const handle = (args as { readonly handle?: unknown }).handle;
  if (handle === undefined || handle === GLOBAL_HANDLE) return undefined;
  if (typeof handle !== "string" || parseHandle(handle) === undefined) {
    return { code: "EINVAL", message: `${called}: ${typeof handle === "string" ? JSON.stringify(handle.slice(0, 80)) : `a ${typeof handle}`} is no handle` };
  }
  if (!seal.isGenuine(handle as Handle)) return { code: "EBADF", message: `${called}: the handle was not made by this cluster` };
  return undefined;
}
