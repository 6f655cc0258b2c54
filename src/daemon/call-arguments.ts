/**
 * The edge where applications' calls come in: handles that this cluster has made, and arguments of the right shape for
 * the calls that the node itself answers. The calls of data management are checked by the machine that runs them.
 *
 * Source    safety H6 (handles carry a keyed checksum), H15; XDSM C429: EINVAL for a malformed argument, EBADF for a
 *           handle that names nothing of ours.
 */
import { z } from "zod";
import type { CallName } from "../dmapi/calls.js";
import type { DmFailure } from "../dmapi/errors.js";
import { GLOBAL_HANDLE, parseHandle } from "../dmapi/handle.js";
import { type Handle, NAME_PATTERN } from "../dmapi/ids.js";
import type { HandleSeal } from "../volume/handle-seal.js";

const nameRule = "letters, digits, '_', '.', '-', at most 63";
const name = z.string({ error: nameRule }).regex(NAME_PATTERN, { error: nameRule });
const count = z.int().min(0);
const nothing = z.strictObject({});

const shapes = {
  "node.status": nothing,
  "node.waiters": nothing,
  "cluster.waiters": nothing,
  "cluster.trace": z.strictObject({ token: count }),
  "registry.audit": nothing,
  "node.log": z.strictObject({ after: count.optional(), waitMs: z.number().min(0).max(86_400_000).optional(), max: count.optional() }),
  "manager.move": z.strictObject({ to: name }),
  "node.fence": z.strictObject({ node: name, force: z.boolean().optional() }),
  "link.cut": z.strictObject({ peer: name, direction: z.enum(["both", "send", "receive"]) }),
  "link.heal": z.strictObject({ peer: name.optional() }),
  "test.spoil": z.strictObject({ what: z.enum(["hosted-sessions", "registry", "distribution"]), on: z.boolean().optional() }),
  "node.stop": nothing,
  "fs.list": nothing,
} as const satisfies Partial<Record<CallName, z.ZodType>>;

/** What is wrong with a call, or undefined; EINVAL or EBADF. */
export function faultOf(called: string, args: unknown, seal: HandleSeal): DmFailure | undefined {
  if (Object.hasOwn(shapes, called)) {
    const checked = shapes[called as keyof typeof shapes].safeParse(args);
    if (checked.success) return undefined;
    const issue = checked.error.issues[0]!;
    const at = issue.path.length === 0 ? "its arguments" : issue.path.join(".");
    return { code: "EINVAL", message: `${called}: ${at}: ${issue.message}` };
  }
  const handle = (args as { readonly handle?: unknown }).handle;
  if (handle === undefined || handle === GLOBAL_HANDLE) return undefined;
  if (typeof handle !== "string" || parseHandle(handle) === undefined) {
    return { code: "EINVAL", message: `${called}: ${typeof handle === "string" ? JSON.stringify(handle.slice(0, 80)) : `a ${typeof handle}`} is no handle` };
  }
  if (!seal.isGenuine(handle as Handle)) return { code: "EBADF", message: `${called}: the handle was not made by this cluster` };
  return undefined;
}
