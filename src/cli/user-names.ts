/** Names of users for people; a number where /etc/passwd has none. */
import { readFileSync } from "node:fs";

let names: Map<number, string> | undefined;

export function userName(uid: number): string {
  names ??= readNames();
  return names.get(uid) ?? `uid ${uid}`;
}
function readNames(): Map<number, string> {
  try {
    const lines = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"));
    return new Map(lines.filter(([name, , uid]) => name !== undefined && name !== "" && uid !== undefined).map(([name, , uid]) => [Number(uid), name!]));
  } catch {
    return new Map();
  }
}
