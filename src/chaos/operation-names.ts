/**
 * How an operation of a user tells its number to the application that gets its event: a read by its offset, a directory
 * that is made by its name.
 */
import type { EventMessage } from "../dmapi/events.js";

export const EVENT_FILE = "asked";
/** Longer than any number. */
export const EVENT_FILE_BYTES = 2 ** 42;

export function operationName(operation: number): string {
  return `op-${operation}`;
}
export function operationOf({ event }: EventMessage): number | undefined {
  if (event.type === "read") return event.offset;
  const name = event.type === "create" ? /^op-(\d+)$/.exec(event.name1 ?? "") : null;
  return name === null ? undefined : Number(name[1]);
}
