/**
 * Settings of a local cluster: keys of node.yaml that every node gets beside what the plan says, as `sluice cluster up --set
 * KEY=VALUE` names them: `timeouts.linkTimeoutMs=1500`, `coordination.deadMs=20000`; below `fileSystems` each file system
 * gets the key.
 *
 * Not here  which values are allowed: the daemon's own schema judges the file that comes out (daemon/config.ts).
 */
import { isRecord } from "../../base/shape.js";
import { CommandFailure } from "../failure.js";

/** What the plan decides for each node; a setting would contradict it. */
const planned = new Set([
  "cluster", "node", "address", "socket", "logFile", "preference", "coordination.driver", "coordination.directory",
  "fileSystems.name", "fileSystems.backing", "fileSystems.mountpoint", "fileSystems.mode",
]);

/** @throws CommandFailure when the text is no KEY=VALUE, or the key is one the plan decides. */
export function checkSetting(text: string): string {
  const [key, value] = split(text);
  if (key === "" || value === undefined) {
    throw new CommandFailure({ asked: `read --set ${text}`, found: "it is not KEY=VALUE", next: "Write for example --set timeouts.linkTimeoutMs=2000" });
  }
  if (planned.has(key)) {
    throw new CommandFailure({ asked: `read --set ${text}`, found: `${key} of each node is decided by the cluster's plan`, next: "Set another key, or use the command's own options" });
  }
  return text;
}

/** `file` with all settings applied, the later ones over the earlier. */
export function withSettings<File extends object>(file: File, settings: readonly string[]): File {
  const result = structuredClone(file);
  for (const text of settings) {
    const [key, value] = split(text);
    apply(result as Record<string, unknown>, key.split("."), literal(value ?? ""));
  }
  return result;
}

function apply(into: Record<string, unknown>, [name = "", ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    into[name] = value;
    return;
  }
  const below = into[name] ?? {};
  into[name] = below;
  for (const each of Array.isArray(below) ? below : [below]) if (isRecord(each)) apply(each, rest, value);
}
function split(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
function literal(text: string): unknown {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === "true" || text === "false") return text === "true";
  return text;
}
