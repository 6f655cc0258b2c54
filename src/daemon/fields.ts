/**
 * What may stand under the keys of a configuration or of a call's arguments: a value that is found is read, or a fault is
 * told with its place and what is allowed there. A key that nobody knows is a fault.
 *
 * It is a page of code and not a library because every start of a daemon pays for what is loaded.
 */
import { isRecord } from "../base/shape.js";

export type Place = readonly (string | number)[];
export interface Fault {
  readonly at: Place;
  readonly allowed: string;
  readonly isUnknownKey?: true;
}
/** The place as people write it; the place of the whole is `whole`. */
export function placeText(at: Place, whole = "the whole file"): string {
  if (at.length === 0) return whole;
  return at.map((key, index) => (typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${key}`)).join("");
}

/** `Written` is what may be in the file, `Read` what becomes of it. After a fault what `read` gives means nothing. */
export interface Field<Read, Written = Read> {
  read(found: unknown, at: Place, faults: Fault[]): Read;
  /** For the compiler only. */
  readonly written?: Written;
}
export type ReadOf<F> = F extends Field<infer Read, infer _> ? Read : never;
export type WrittenOf<F> = F extends Field<infer _, infer Written> ? Written : never;

function plain<T>(isAllowed: (found: unknown) => boolean, allowed: string): Field<T> {
  return {
    read: (found, at, faults) => {
      if (!isAllowed(found)) faults.push({ at, allowed });
      return found as T;
    },
  };
}
export function text(isAllowed: (found: string) => boolean, allowed: string): Field<string> {
  return plain((found) => typeof found === "string" && isAllowed(found), allowed);
}
export function whole(low: number, high: number): Field<number> {
  return plain((found) => Number.isSafeInteger(found) && (found as number) >= low && (found as number) <= high, `a whole number from ${low} to ${high}`);
}
export function between(low: number, high: number): Field<number> {
  return plain((found) => typeof found === "number" && found >= low && found <= high, `a number from ${low} to ${high}`);
}
export const flag: Field<boolean> = plain((found) => typeof found === "boolean", "true or false");
export function oneOf<const T extends readonly string[]>(values: T): Field<T[number]> {
  return plain((found) => values.includes(found as string), values.map((value) => JSON.stringify(value)).join(" or "));
}

/** What was read is changed further, unless it was at fault. */
export function changed<T>(field: Field<T>, change: (value: T) => T): Field<T> {
  return {
    read: (found, at, faults) => {
      const before = faults.length;
      const value = field.read(found, at, faults);
      return faults.length === before ? change(value) : value;
    },
  };
}
export function optional<R, W>(field: Field<R, W>): Field<R | undefined, W | undefined> {
  return { read: (found, at, faults) => (found === undefined ? undefined : field.read(found, at, faults)) };
}
/** @param value what absence stands for, as it would be written. */
export function withDefault<R, W>(field: Field<R, W>, value: NonNullable<W>): Field<R, W | undefined> {
  return { read: (found, at, faults) => field.read(found === undefined ? value : found, at, faults) };
}
export function listOf<R, W>(field: Field<R, W>, allowed: string): Field<R[], W[]> {
  return {
    read: (found, at, faults) => {
      if (Array.isArray(found)) return found.map((each, index) => field.read(each, [...at, index], faults));
      faults.push({ at, allowed });
      return [];
    },
  };
}

type Fields = Readonly<Record<string, Field<unknown, unknown>>>;
type MaybeAbsent<T> = { [K in keyof T as undefined extends T[K] ? K : never]?: T[K] } & { [K in keyof T as undefined extends T[K] ? never : K]: T[K] };
type Flat<T> = { [K in keyof T]: T[K] };
export type MapRead<S extends Fields> = Flat<MaybeAbsent<{ [K in keyof S]: ReadOf<S[K]> }>>;
export type MapWritten<S extends Fields> = Flat<MaybeAbsent<{ [K in keyof S]: WrittenOf<S[K]> }>>;

export function map<S extends Fields>(fields: S): Field<MapRead<S>, MapWritten<S>> {
  const names = Object.keys(fields);
  const keys = `the keys ${names.join(", ")}`;
  return {
    read: (found, at, faults) => {
      const read: Record<string, unknown> = {};
      if (!isRecord(found)) {
        faults.push({ at, allowed: `a map with ${keys}` });
        return read as MapRead<S>;
      }
      for (const name of names) {
        const value = fields[name]!.read(Object.hasOwn(found, name) ? found[name] : undefined, [...at, name], faults);
        if (value !== undefined) read[name] = value;
      }
      for (const key of Object.keys(found)) if (!Object.hasOwn(fields, key)) faults.push({ at: [...at, key], allowed: keys, isUnknownKey: true });
      return read as MapRead<S>;
    },
  };
}
