/**
 * One call on one object, from its name and arguments to its outcome as a value: what an I/O worker runs.
 *
 * Not here  rights and sessions (checked before by the cluster's machines), waiting for a guard (service.ts tries again).
 */
import type { ArgsOf, CallName } from "../dmapi/calls.js";
import { DmError, type DmFailure } from "../dmapi/errors.js";
import type { FileRecord } from "../dmapi/record.js";
import type { Handle } from "../dmapi/ids.js";
import { isFsHandle } from "../dmapi/handle.js";
import * as files from "../os/files.js";
import * as data from "./data-operations.js";
import { removeMark } from "./mark.js";
import * as records from "./record-operations.js";
import { fail, GuardBusy, must, OpenObject, type ChangedRecord, type OperationContext } from "./object.js";

/** What members are told; the shapes of cluster/messages.ts. */
export type Work =
  | { readonly kind: "record-changed"; readonly handle: Handle; readonly generation: number }
  | { readonly kind: "drop-pages"; readonly handle: Handle }
  | { readonly kind: "fs-event-list-changed"; readonly events: number };
export type Outcome =
  | { readonly kind: "ok"; readonly result: unknown; readonly record?: FileRecord | null; readonly round?: Work; readonly announcement?: Work }
  /** `isBusy`: somebody's guard stood in the way, trying again may help. */
  | { readonly kind: "failed"; readonly failure: DmFailure; readonly isBusy?: boolean };

type Operation = (object: OpenObject, args: never) => Outcome;
const plain = <A, R>(operation: (object: OpenObject, args: A) => R) => (object: OpenObject, args: A): Outcome => ({ kind: "ok", result: operation(object, args) });
const changing = <A, R>(operation: (object: OpenObject, args: A) => records.Changed<R>) => (object: OpenObject, args: A): Outcome => {
  const { result, changed } = operation(object, args);
  return { kind: "ok", result, ...told(object.handle, changed) };
};
const unseen = <A, R>(operation: (object: OpenObject, args: A) => data.Unseen<R>) => (object: OpenObject, args: A): Outcome => {
  const { result, changed, dropsPages } = operation(object, args);
  return { kind: "ok", result, ...told(object.handle, changed), ...(dropsPages ? { round: { kind: "drop-pages", handle: object.handle } } : {}) };
};
/** Members drain before the call is answered when users are to be held back now; else they are told and nobody waits. */
function told(handle: Handle, changed: ChangedRecord | undefined): { record?: FileRecord; round?: Work; announcement?: Work } {
  if (changed === undefined) return {};
  const work: Work = { kind: "record-changed", handle, generation: changed.next.generation };
  return changed.mustDrain ? { record: changed.next, round: work } : { record: changed.next, announcement: work };
}

const operations: { readonly [N in CallName]?: (object: OpenObject, args: ArgsOf<N>) => Outcome } = {
  "record.get": plain(records.getRecord),
  "record.change": changing(records.changeRecord),
  "mark.create": plain(records.makeMark),
  "mark.check": plain(records.checkMark),
  "mark.remove": plain(records.dropMark),
  "region.set": changing(records.setRegions),
  "region.get": plain(records.getRegions),
  "attribute.set": changing(records.setDmAttribute),
  "attribute.get": plain(records.getDmAttribute),
  "attribute.list": plain(records.listDmAttributes),
  "attribute.remove": changing(records.removeDmAttribute),
  "eventlist.set": changing(records.setEventList),
  "eventlist.get": plain(records.getEventList),
  "fileattr.get": plain(data.getFileAttributes),
  "fileattr.set": unseen(data.setFileAttributes),
  "allocation.get": plain(data.getAllocation),
  "hole.probe": plain(data.probeHole),
  "hole.punch": changing(data.punchHole),
  "object.sync": plain(data.syncObject),
  "invisible.read": plain(data.readInvisibly),
  "invisible.write": unseen(data.writeInvisibly),
};

/** Never throws for what a caller, a disk or another node can cause. */
export function perform(context: OperationContext, name: CallName, handle: Handle, args: unknown): Outcome {
  return asOutcome(() => {
    if (typeof args !== "object" || args === null) return fail("EINVAL", name, "no arguments");
    if (isFsHandle(handle)) return performOnFs(context, name, handle, args as ArgsOf<"eventlist.set">);
    const operation = operations[name] as Operation | undefined;
    if (operation === undefined) return fail("ENOSYS", name, "not a call on one object");
    const object = OpenObject.open(context, name, handle);
    try {
      return operation(object, args as never);
    } finally {
      object.close();
    }
  });
}

/** The record as it now stands, and its object's generation for those who have no record. */
export function performReadRecord(context: OperationContext, handle: Handle): Outcome {
  return asOutcome(() => {
    const object = OpenObject.open(context, "record.get", handle);
    try {
      const record = object.readRecord() ?? null;
      return { kind: "ok", result: { record }, record };
    } finally {
      object.close();
    }
  });
}

export interface OpenedForApplication {
  readonly fd: number;
}
/** A descriptor to pass to an application: plain for reading, or with the exclusive guard on it. */
export function openForApplication(context: OperationContext, handle: Handle, args: ArgsOf<"invisible.open">): Outcome {
  return asOutcome(() => {
    const call = "invisible.open";
    if (args.mode !== "read" && args.mode !== "exclusive") fail("EINVAL", call, `mode ${String(args.mode)} is neither "read" nor "exclusive"`);
    const object = OpenObject.open(context, call, handle);
    try {
      object.requireRegular();
      if (args.mode === "exclusive") {
        object.takeForChange();
        const record = object.readRecord() ?? null;
        // Whoever copies the file out must not take it for unchanged: what is written by the descriptor, nobody sees.
        if (args.keepsMark !== true && record?.residency !== "partial") must(removeMark(object.fd), call, "the mark cannot be removed");
        const cleared = must(files.statusFlags(object.fd), call, "descriptor");
        must(files.setStatusFlags(object.fd, cleared & ~files.open.nonBlocking), call, "descriptor");
        return { kind: "ok", result: { fd: object.keepDescriptor() } satisfies OpenedForApplication, record };
      }
      const opened = context.volume.handles.open(handle, files.open.readOnly | files.open.noAccessTime);
      if (typeof opened !== "number") return fail(opened.code, call, opened.message);
      return { kind: "ok", result: { fd: opened } satisfies OpenedForApplication };
    } finally {
      object.close();
    }
  });
}

function performOnFs(context: OperationContext, name: CallName, handle: Handle, args: ArgsOf<"eventlist.set">): Outcome {
  if (handle !== context.volume.handles.fsHandle) return fail("EBADF", name, "the handle is not this file system's");
  if (name === "eventlist.set") {
    const events = records.setFsEventList(context, name, args);
    return { kind: "ok", result: {}, round: { kind: "fs-event-list-changed", events } };
  }
  if (name === "eventlist.get") return { kind: "ok", result: { events: records.getFsEventList(context) } };
  return fail("EINVAL", name, "not for the handle of a file system");
}

function asOutcome(run: () => Outcome): Outcome {
  try {
    return run();
  } catch (failure) {
    if (!(failure instanceof DmError)) throw failure;
    return { kind: "failed", failure: failureOf(failure), ...(failure instanceof GuardBusy ? { isBusy: true } : {}) };
  }
}

/** As a value: the text without call and code, which whoever shows it puts around it again. */
export function failureOf(failure: DmError): DmFailure {
  const from = `${failure.call}: `.length;
  return { code: failure.code, message: failure.message.slice(from, -` (${failure.code})`.length) };
}
