/**
 * `--lease 30s --on-lost data=standby:7,namespace=EIO,mount=wait`: an application lease as people write it.
 */
import { type ApplicationLease, type EventClass, eventClasses, faultOfLease, type LostFate } from "../dmapi/application-lease.js";
import type { DmCode } from "../dmapi/errors.js";
import type { SessionId } from "../dmapi/ids.js";
import { CommandFailure } from "./failure.js";

const unitMs = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Undefined when none is asked for. @throws CommandFailure */
export function readLease({ lease, onLost }: { readonly lease?: string | boolean; readonly onLost?: string }): ApplicationLease | undefined {
  if (typeof lease !== "string") {
    if (onLost === undefined) return undefined;
    throw failure(`--on-lost ${onLost}`, "it needs a time after which the application counts as lost", "Add for example --lease 30s");
  }
  const read: ApplicationLease = { afterMs: readTime(lease), onLost: readFates(onLost ?? "") };
  const fault = faultOfLease(read);
  if (fault !== undefined) throw failure(`--lease ${lease}${onLost === undefined ? "" : ` --on-lost ${onLost}`}`, fault, "See sluice session create --help");
  return read;
}

/** In milliseconds. @throws CommandFailure */
export function readTime(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|min|h|d)$/.exec(text);
  if (match === null) throw failure(`the time "${text}"`, "it is not a number with a unit", `Units are ${Object.keys(unitMs).join(", ")}, for example 30s`);
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
}

function readFates(text: string): ApplicationLease["onLost"] {
  const fates: Partial<Record<EventClass, LostFate>> = {};
  for (const part of text.split(",").filter((each) => each !== "")) {
    const [name, word, ...rest] = part.split("=");
    const found = eventClasses.find((each) => each === name);
    if (found === undefined || word === undefined || rest.length > 0) {
      throw failure(`--on-lost ${part}`, "it is not CLASS=FATE", `Classes are ${eventClasses.join(", ")}; fates wait, standby, standby:ID or an errno`);
    }
    if (fates[found] !== undefined) throw failure(`--on-lost ${text}`, `${found} has two fates`, "Name each class once");
    fates[found] = readFate(word);
  }
  return fates;
}
function readFate(word: string): LostFate {
  if (word === "wait" || word === "standby") return { kind: word };
  const id = /^standby:(\d{1,10})$/.exec(word)?.[1];
  return id === undefined ? { kind: "errno", code: word as DmCode } : { kind: "standby", session: Number(id) as SessionId };
}
function failure(asked: string, found: string, next: string): CommandFailure {
  return new CommandFailure({ asked: `read ${asked}`, found, next });
}
