/**
 * What the command asks a migrator, as the data of synchronous user messages, and what it answers: MessagePack, at most
 * MESSAGE_DATA_LENGTH_MAX bytes either way, so that requests reach the migrator from any node.
 *
 * Source    XDSM C429 dm_send_msg; peers' words for verbs and states.
 */
import { Packr } from "msgpackr/pack";
import { faultOfPacked } from "../base/message-pack.js";
import { type DmCode, errnoOf } from "../dmapi/errors.js";
import { type Handle, MESSAGE_DATA_LENGTH_MAX } from "../dmapi/ids.js";
import type { StateReport, Transient } from "./states.js";

export type MoveVerb = "migrate" | "premigrate" | "release" | "recall";
export const moveVerbs: readonly MoveVerb[] = ["migrate", "premigrate", "release", "recall"];

export interface RequestItem {
  readonly handle: Handle;
  /** As the user wrote it; for the manifest. Left out when it would not fit. */
  readonly path?: string;
}
export type MigratorRequest =
  | { readonly op: MoveVerb; readonly id: string; readonly items: readonly RequestItem[] }
  | { readonly op: "state"; readonly items: readonly RequestItem[] }
  /** How far the request `id` is. */
  | { readonly op: "progress"; readonly id: string }
  | { readonly op: "cancel"; readonly id: string }
  | { readonly op: "status" };

export interface ItemFailure {
  readonly code: DmCode;
  readonly message: string;
}
export type ItemResult =
  | { readonly ok: true; readonly state: string; readonly changed: boolean; readonly bytes: number }
  | ({ readonly ok: false } & ItemFailure);
export type StateResult = ({ readonly ok: true; readonly transient?: Transient } & StateReport) | ({ readonly ok: false } & ItemFailure);
export interface ProgressAnswer {
  readonly itemsDone: number;
  readonly bytesDone: number;
}
export interface MigratorStatus {
  readonly fs: string;
  readonly store: string;
  readonly node: string;
  readonly pid: number;
  readonly recalls: number;
  readonly migrations: number;
  readonly recalled: number;
  readonly migrated: number;
  readonly failed: number;
  readonly usedPercent: number | null;
  /** It was given marks, and so frees space by itself. */
  readonly freesSpace?: boolean;
}
export interface MigratorAnswers {
  readonly items?: readonly ItemResult[];
  readonly states?: readonly StateResult[];
  readonly progress?: ProgressAnswer;
  readonly status?: MigratorStatus;
  /** The whole request could not be understood. */
  readonly refused?: ItemFailure;
}

const packr = new Packr({ useRecords: false });
const MESSAGE_LENGTH_MAX = 160;

export function encodeRequest(request: MigratorRequest): Uint8Array {
  return packr.pack(request);
}
/** Undefined for what is no request of ours: user messages may come from anybody. */
export function decodeRequest(data: Uint8Array): MigratorRequest | undefined {
  const value = unpacked(data);
  if (value === undefined || typeof value["op"] !== "string") return undefined;
  const { op, id, items } = value;
  const hasItems = Array.isArray(items) && items.every(isItem);
  if (op === "state") return hasItems ? { op, items: items as RequestItem[] } : undefined;
  if (op === "status") return { op };
  if (typeof id !== "string" || id.length > 64) return undefined;
  if (op === "progress" || op === "cancel") return { op, id };
  const verb = moveVerbs.find((known) => known === op);
  return verb !== undefined && hasItems ? { op: verb, id, items: items as RequestItem[] } : undefined;
}
export function encodeAnswers(answers: MigratorAnswers): Uint8Array {
  const items = answers.items?.map((item) => (item.ok ? item : { ...item, message: item.message.slice(0, MESSAGE_LENGTH_MAX) }));
  return packr.pack({ ...answers, ...(items === undefined ? {} : { items }) });
}
export function decodeAnswers(data: Uint8Array | undefined): MigratorAnswers {
  const value = data === undefined ? undefined : unpacked(data);
  return (value ?? { refused: { code: "EPROTO", message: "the migrator's answer is of no format this version knows" } }) as MigratorAnswers;
}

/** Items in groups whose request and whose answer each fit in one message. */
export function* inBatches<T extends RequestItem>(items: Iterable<T>): Generator<T[], void, undefined> {
  const ANSWER_BYTES = 320;
  const ENVELOPE_BYTES = 200;
  let batch: T[] = [];
  let length = ENVELOPE_BYTES;
  for (const item of items) {
    const path = item.path !== undefined && Buffer.byteLength(item.path) < MESSAGE_DATA_LENGTH_MAX - ENVELOPE_BYTES - 300 ? { path: item.path } : {};
    const { path: _left, ...rest } = item;
    const fitting = { ...rest, ...path } as T;
    const itemLength = packr.pack({ handle: fitting.handle, ...path }).length;
    const isFull = length + itemLength > MESSAGE_DATA_LENGTH_MAX || ENVELOPE_BYTES + (batch.length + 1) * ANSWER_BYTES > MESSAGE_DATA_LENGTH_MAX;
    if (isFull && batch.length > 0) {
      yield batch;
      batch = [];
      length = ENVELOPE_BYTES;
    }
    batch.push(fitting);
    length += itemLength;
  }
  if (batch.length > 0) yield batch;
}

/** "sluice-migrator fs=fs1 store=8b1c... node=A": how others find a migrator among the sessions. */
export interface MigratorInfo {
  readonly fs: string;
  readonly store: string;
  /** Only for members of a group, of which there is one on every node. */
  readonly group?: string;
  readonly node?: string;
}
export function formatInfo(info: MigratorInfo): string {
  const member = info.group === undefined ? "" : ` group=${info.group} node=${info.node ?? ""}`;
  return `sluice-migrator fs=${info.fs} store=${info.store}${member}`;
}
export function parseInfo(text: string): MigratorInfo | undefined {
  const [word, ...fields] = text.split(" ");
  if (word !== "sluice-migrator") return undefined;
  const values = new Map(fields.map((field) => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)]));
  const fs = values.get("fs");
  const store = values.get("store");
  const group = values.get("group");
  const node = values.get("node");
  if (fs === undefined || store === undefined) return undefined;
  return { fs, store, ...(group === undefined ? {} : { group }), ...(node === undefined ? {} : { node }) };
}

function unpacked(data: Uint8Array): Record<string, unknown> | undefined {
  if (faultOfPacked(data) !== undefined) return undefined;
  try {
    const value: unknown = packr.unpack(data);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
function isItem(value: unknown): value is RequestItem {
  if (typeof value !== "object" || value === null || !("handle" in value)) return false;
  return typeof value.handle === "string" && (!("path" in value) || typeof value.path === "string");
}
export function failureOf(error: { readonly code?: unknown; readonly message: string }): ItemFailure {
  const { code } = error;
  return { code: typeof code === "string" && Object.hasOwn(errnoOf, code) ? (code as DmCode) : "EIO", message: error.message };
}
