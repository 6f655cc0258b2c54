/**
 * Names and documents of the shared-volume coordination directory. Everything that is decided there is decided by a
 * rename or a link of one of these names.
 *
 *     locks/A.lock                 held (OFD) from start to exit by the daemon that is node A; says who that is
 *     leases/A@3.17                node A in incarnation 3 has renewed 17 times; content fixed at creation
 *     leases/left+A@3              A gave that incarnation up
 *     leases/taken+A@3+B@5         B@5 claimed it: A@3 can never renew again
 *     leases/new+A@3               being written; never looked at
 *     reach/A@3                    whom A reaches; rewritten in place
 *     views/view.9                 the view with number 9; complete and synced before its name exists
 *     views/past                   what an old view's name points to, so that the name stays taken
 *     spares/A+<process>.2         room for the next view document, so that a full volume cannot stop a takeover
 *
 * Not here  who decides what (lease-machine.ts), the calls (driver.ts).
 * Source    safety C7, C8, M7.
 */
import { isCount, isText, listOf, mapOf, matching, type Shape } from "../../base/shape.js";
import { isMemberFacts, isView, type MemberFacts, type View } from "../../cluster/view-document.js";
import { type Incarnation, NAME_PATTERN, type NodeId } from "../../dmapi/ids.js";

export const directories = ["locks", "leases", "reach", "views", "spares"] as const;

/** One life of a member. */
export interface Life {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
}
export function lifeName(life: Life): string {
  return `${life.id}@${life.incarnation}`;
}
export function isSameLife(a: Life, b: Life): boolean {
  return a.id === b.id && a.incarnation === b.incarnation;
}

export const paths = {
  lock: (id: NodeId) => `locks/${id}.lock`,
  lease: (life: Life, renewals: number) => `leases/${lifeName(life)}.${renewals}`,
  newLease: (life: Life) => `leases/new+${lifeName(life)}`,
  left: (life: Life) => `leases/left+${lifeName(life)}`,
  taken: (life: Life, by: Life) => `leases/taken+${lifeName(life)}+${lifeName(by)}`,
  reach: (life: Life) => `reach/${lifeName(life)}`,
  view: (number: number) => `views/view.${number}`,
  pastView: "views/past",
  newPastView: (self: Life) => `views/past+${lifeName(self)}`,
  spare: (id: NodeId, process: string, count: number) => `spares/${id}+${process}.${count}`,
};

/** What one name in `leases` says. */
export type LeaseName =
  | { readonly kind: "lease"; readonly life: Life; readonly renewals: number }
  | { readonly kind: "left"; readonly life: Life }
  | { readonly kind: "taken"; readonly life: Life; readonly by: Life };

function parseLife(text: string): Life | undefined {
  const at = text.indexOf("@");
  const id = text.slice(0, at);
  const digits = text.slice(at + 1);
  if (at < 1 || !NAME_PATTERN.test(id) || !isNumber(digits)) return undefined;
  return { id: id as NodeId, incarnation: Number(digits) as Incarnation };
}

/** Undefined for names that are not ours or still being written. */
export function parseLeaseName(name: string): LeaseName | undefined {
  if (!name.includes("+")) {
    const at = name.lastIndexOf(".");
    const renewals = name.slice(at + 1);
    const life = at < 1 || !isNumber(renewals) ? undefined : parseLife(name.slice(0, at));
    return life === undefined ? undefined : { kind: "lease", life, renewals: Number(renewals) };
  }
  const parts = name.split("+");
  const life = parseLife(parts[1]!);
  if (life === undefined) return undefined;
  if (parts[0] === "left" && parts.length === 2) return { kind: "left", life };
  const by = parts[0] === "taken" && parts.length === 3 ? parseLife(parts[2]!) : undefined;
  return by === undefined ? undefined : { kind: "taken", life, by };
}

/** The number of a view's file name. */
export function parseViewName(name: string): number | undefined {
  if (!name.startsWith("view.")) return undefined;
  const digits = name.slice("view.".length);
  return isNumber(digits) ? Number(digits) : undefined;
}

/** 1 to 15 digits. */
function isNumber(text: string): boolean {
  if (text.length === 0 || text.length > 15) return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 48 || code > 57) return false;
  }
  return true;
}

/** Content of a lease file. `process` names the daemon process, which may live through several incarnations. */
export interface LeaseDocument {
  readonly facts: MemberFacts;
  readonly process: string;
}
/** Content of an identity lock file. */
export interface IdentityDocument {
  readonly id: NodeId;
  readonly process: string;
  readonly pid: number;
  readonly host: string;
  readonly bootId: string;
  readonly address: string;
  /** The highest incarnation that this identity has used. */
  readonly incarnation: Incarnation;
}
export interface ReachDocument {
  readonly reaches: readonly NodeId[];
}
/** Content of a view file. `nonce` tells the writer's own document from another's of the same number. */
export interface ViewFile {
  readonly nonce: string;
  readonly view: View;
}

export const SMALL_FILE_BYTES = 1024;
export const VIEW_FILE_BYTES = 32_768;

/** A document padded with blanks to at least `bytes`, so that rewriting it in place needs no new block and no truncation. */
export function encodeDocument(document: unknown, bytes: number): string {
  const text = JSON.stringify(document);
  return `${text.padEnd(bytes - 1)}\n`;
}
/** Undefined when the text is not a whole document of that kind: a rewrite was seen half done, or it is damaged. */
type Decode<T> = (text: string) => T | undefined;
/** Most texts that are kept decoded: a look reads one of each member, and the next look the same ones again. */
const KEPT_TEXTS = 32;
/** What was decoded lately is often read again. */
function decoding<T>(shape: Shape): Decode<T> {
  const kept = new Map<string, T | undefined>();
  return (text) => {
    if (kept.has(text)) return kept.get(text);
    const decoded = decode<T>(text, shape);
    if (kept.size >= KEPT_TEXTS) kept.delete(kept.keys().next().value!);
    kept.set(text, decoded);
    return decoded;
  };
}
function decode<T>(text: string, shape: Shape): T | undefined {
  try {
    const document: unknown = JSON.parse(text);
    return shape(document) ? (document as T) : undefined;
  } catch {
    return undefined;
  }
}
const name = matching(NAME_PATTERN);
export const decodeLease = decoding<LeaseDocument>(mapOf({ facts: isMemberFacts, process: isText }));
export const decodeIdentity = decoding<IdentityDocument>(
  mapOf({ id: name, process: isText, pid: isCount, host: isText, bootId: isText, address: isText, incarnation: isCount }),
);
export const decodeReach = decoding<ReachDocument>(mapOf({ reaches: listOf(name) }));
export const decodeViewFile = decoding<ViewFile>(mapOf({ nonce: isText, view: isView }));
