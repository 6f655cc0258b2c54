/** What the main thread and an I/O worker of a volume say to each other. Everything is plain data. */
import type { ArgsOf, CallName } from "../../dmapi/calls.js";
import type { Handle } from "../../dmapi/ids.js";
import type { AttachOptions, FsDocument, VolumeParts } from "../filesystem.js";
import type { Outcome } from "../perform.js";
import type { ProbeRecord } from "../probe.js";
import type { ReserveState } from "../reserve.js";

export interface JobContext {
  readonly volume: VolumeParts;
  readonly slot: number;
  readonly members: Readonly<Record<number, string>>;
  readonly guardFd?: number;
}
export type Job =
  | { readonly kind: "attach"; readonly options: AttachOptions }
  | { readonly kind: "perform"; readonly context: JobContext; readonly name: CallName; readonly handle: Handle; readonly args: unknown }
  | { readonly kind: "read-record"; readonly context: JobContext; readonly handle: Handle }
  | { readonly kind: "open"; readonly context: JobContext; readonly handle: Handle; readonly args: ArgsOf<"invisible.open"> }
  | { readonly kind: "make-reserve"; readonly volume: VolumeParts }
  | { readonly kind: "close"; readonly fds: readonly number[] };

export interface Attached {
  readonly volume: VolumeParts;
  readonly document: FsDocument;
  readonly fsHandle: Handle;
  readonly rootHandle: Handle;
  readonly probe: ProbeRecord;
  readonly reserve: ReserveState | undefined;
}
/** For "attach" the result is `Attached`, for "open" `OpenedForApplication`, for "make-reserve" `{ reserve: ReserveState | undefined; trouble: string | undefined }`. */
export type JobOutcome = Outcome;
export interface JobMessage {
  readonly id: number;
  readonly job: Job;
}
export interface JobAnswer {
  readonly id: number;
  readonly outcome: JobOutcome;
}
