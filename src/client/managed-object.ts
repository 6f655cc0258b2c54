/**
 * One object of a managed file system, by handle: event list, regions, attributes, holes, record, mark, invisible I/O.
 *
 * Source    XDSM C429 chapters "Managed regions", "Invisible I/O", "DM attributes"; safety C1, C3, H4.
 */
import type { ArgsOf, CallName, Extent, FileAttributes, ObjectArgs, ResultOf } from "../dmapi/calls.js";
import { type EventType, eventsIn } from "../dmapi/events.js";
import type { Handle, Token } from "../dmapi/ids.js";
import type { ManagedRegion } from "../dmapi/regions.js";
import type { RecordChange } from "../dmapi/record.js";
import { InvisibleFile } from "./invisible-file.js";
import type { Session } from "./session.js";

type Besides<N extends CallName> = Omit<ArgsOf<N>, keyof ObjectArgs>;

/** The hexadecimal form in which the daemon knows an attribute name of exactly 8 bytes. */
export function attributeNameHex(name: string): string {
  const bytes = Buffer.from(name, "latin1");
  if (bytes.length > 8 || bytes.length === 0) throw new RangeError(`a DM attribute name has 1 to 8 bytes, "${name}" has ${bytes.length}`);
  return Buffer.concat([bytes, Buffer.alloc(8 - bytes.length)]).toString("hex");
}

export class ManagedObject {
  readonly session: Session;
  readonly handle: Handle;
  readonly token: Token | undefined;
  constructor(session: Session, handle: Handle, token: Token | undefined) {
    this.session = session;
    this.handle = handle;
    this.token = token;
  }
  #call<N extends CallName>(name: N, besides: Besides<N>): Promise<ResultOf<N>> {
    const token = this.token === undefined ? {} : { token: this.token };
    return this.session.connection.call(name, { session: this.session.id, handle: this.handle, ...token, ...besides } as unknown as ArgsOf<N>);
  }

  async setEventList(events: readonly EventType[], below?: number): Promise<void> {
    await this.#call("eventlist.set", { events, ...(below === undefined ? {} : { below }) });
  }
  async eventList(): Promise<EventType[]> {
    return eventsIn((await this.#call("eventlist.get", {})).events);
  }
  /** Replaces all regions; returns when every node goes by them. False: rounded or merged. @throws DmError EBUSY mapped */
  async setRegions(regions: readonly ManagedRegion[]): Promise<boolean> {
    return (await this.#call("region.set", { regions })).isExact;
  }
  async regions(): Promise<readonly ManagedRegion[]> {
    return (await this.#call("region.get", {})).regions;
  }
  async setAttribute(name: string, value: Uint8Array): Promise<void> {
    await this.#call("attribute.set", { name: attributeNameHex(name), value });
  }
  /** @throws DmError ENOENT no attribute of that name. */
  async attribute(name: string): Promise<Uint8Array> {
    return (await this.#call("attribute.get", { name: attributeNameHex(name) })).value;
  }
  /** By name in latin1, without the zeros that fill it to 8 bytes. */
  async attributes(): Promise<Map<string, Uint8Array>> {
    const all = await this.#call("attribute.list", {});
    return new Map(all.map(({ name, value }) => [Buffer.from(name, "hex").toString("latin1").replace(/\0+$/, ""), value]));
  }
  async removeAttribute(name: string): Promise<void> {
    await this.#call("attribute.remove", { name: attributeNameHex(name) });
  }
  fileAttributes(): Promise<FileAttributes> {
    return this.#call("fileattr.get", {});
  }
  async setFileAttributes(changes: Besides<"fileattr.set">): Promise<void> {
    await this.#call("fileattr.set", changes);
  }
  /** What is on disk and what are holes, piece by piece. */
  async *allocation(): AsyncGenerator<Extent, void, undefined> {
    for (let offset: number | null = 0; offset !== null; ) {
      const page: ResultOf<"allocation.get"> = await this.#call("allocation.get", { offset, max: 256 });
      yield* page.extents;
      offset = page.next;
    }
  }
  probeHole(offset: number, length: number): Promise<{ offset: number; length: number }> {
    return this.#call("hole.probe", { offset, length });
  }
  /** Frees the range; `length` 0 means to the end. @throws DmError EAGAIN not on block bounds; EBUSY in use round us. */
  async punchHole(offset: number, length: number): Promise<void> {
    await this.#call("hole.punch", { offset, length });
  }
  async sync(): Promise<void> {
    await this.#call("object.sync", {});
  }

  /**
   * The file's own descriptor, by which reads and writes raise no events and move no times.
   * "read" needs no right. "exclusive" needs the right EXCLUSIVE of the token and carries the guard: while it is open
   * nobody on any node writes, also if this process or its daemon freezes (safety C1). It breaks the mark of whoever copies
   * the file out, since nobody sees what is written by it; `keepsMark` promises that a resident file is not written.
   * @throws DmError EBUSY somebody's guard stands in the way, named in the text; EACCES the right is missing.
   */
  async openInvisible(options: { mode: "read" | "exclusive"; waitMs?: number; keepsMark?: boolean }): Promise<InvisibleFile> {
    const { mode } = options;
    const opened = await this.#call("invisible.open", options);
    return InvisibleFile.receive(this.session.connection, opened, mode);
  }
  /** Small reads through the daemon, for those who cannot take a descriptor. */
  async readInvisible(offset: number, length: number): Promise<Uint8Array> {
    return (await this.#call("invisible.read", { offset, length })).data;
  }
  async writeInvisible(offset: number, data: Uint8Array, options: { sync?: boolean } = {}): Promise<number> {
    return (await this.#call("invisible.write", { offset, data, ...options })).length;
  }

  /** The whole record, authoritative, with the mark and the backing file's attributes. */
  record(): Promise<ResultOf<"record.get">> {
    return this.#call("record.get", {});
  }
  /** One atomic change of the record. @throws DmError EACCES right missing; ECANCELED the file changed meanwhile. */
  async changeRecord(
    change: RecordChange, conditions: { guard?: number; expectMark?: string; expect?: { size: number; mtimeNs: bigint }; ctime?: { marked: bigint; shown: bigint } } = {},
  ): Promise<number> {
    return (await this.#call("record.change", { change, ...conditions })).generation;
  }
  /** Marks the file: the first writer on any node erases it before touching data (safety C3). @throws DmError EBUSY */
  createMark(): Promise<ResultOf<"mark.create">> {
    return this.#call("mark.create", {});
  }
  async isMarkUnbroken(nonce: string): Promise<boolean> {
    return (await this.#call("mark.check", { nonce })).isUnbroken;
  }
  async removeMark(nonce: string): Promise<void> {
    await this.#call("mark.remove", { nonce });
  }
  /** Every node writes back, drops its pages, drains and gives its guard back (safety C3 step 4). */
  async flush(): Promise<void> {
    await this.#call("object.flush", {});
  }
}
