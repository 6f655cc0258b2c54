/**
 * The file systems that the volume layer has attached on this node, and whether they are mounted here.
 *
 * Source    requirement R6; xdsm 3.2 (where events are enabled).
 */
import type { EventSet } from "../dmapi/events.js";
import { parseHandle } from "../dmapi/handle.js";
import type { FsName, Handle } from "../dmapi/ids.js";

export interface AttachedFs {
  readonly fs: FsName;
  readonly handle: Handle;
  readonly rootHandle: Handle;
  /** Where it is mounted when a call does not say. */
  readonly mountpoint?: string;
  eventList: EventSet;
}

export class AttachedFileSystems {
  readonly #byName = new Map<FsName, AttachedFs>();
  readonly #byFsid = new Map<string, AttachedFs>();
  /** Mounted or about to be: the reactor may know its objects. */
  readonly #mounted = new Set<FsName>();

  attach(fs: AttachedFs): void {
    this.#byName.set(fs.fs, fs);
    const fsid = parseHandle(fs.handle)?.fsid;
    if (fsid !== undefined) this.#byFsid.set(fsid, fs);
  }
  get(fs: FsName): AttachedFs | undefined {
    return this.#byName.get(fs);
  }
  ofHandle(handle: Handle): AttachedFs | undefined {
    const fsid = parseHandle(handle)?.fsid;
    return fsid === undefined ? undefined : this.#byFsid.get(fsid);
  }
  names(): FsName[] {
    return [...this.#byName.keys()];
  }
  isMounted(fs: FsName): boolean {
    return this.#mounted.has(fs);
  }
  setMounted(fs: FsName, isMounted: boolean): void {
    if (isMounted) this.#mounted.add(fs);
    else this.#mounted.delete(fs);
  }
}
