/**
 * Which names the kernel may keep: by directory, and by the object that has the name, both by node id, so that both can be
 * forgotten.
 *
 * One that is told again is another note; whoever was forgetting the former one leaves it.
 *
 * Units     milliseconds of the monotonic clock.
 */

export interface NotedName {
  readonly directory: number;
  readonly name: string;
  /** Undefined: nothing has that name. */
  readonly object: number | undefined;
  /** When the kernel was told, last. */
  readonly toldMs: number;
}

/** Of one directory: more are not noted. */
const NAMES_MAX = 16_384;

export class NotedNames {
  readonly #in = new Map<number, Map<string, NotedName>>();
  /** Most objects have one name. */
  readonly #of = new Map<number, NotedName | Set<NotedName>>();

  /** False: there are too many already. */
  note(noted: NotedName): boolean {
    const { directory, name, object } = noted;
    const known = this.#in.get(directory) ?? new Map<string, NotedName>();
    const before = known.get(name);
    if (before === undefined && known.size >= NAMES_MAX) return false;
    if (before?.object !== undefined) this.#takeFrom(before.object, before);
    if (known.size === 0) this.#in.set(directory, known);
    known.set(name, noted);
    if (object !== undefined) this.#addTo(object, noted);
    return true;
  }
  has(directory: number, name: string): boolean {
    return this.#in.get(directory)?.has(name) === true;
  }
  hasAny(directory: number): boolean {
    return this.#in.has(directory);
  }
  /** Those in it, and its own. */
  *about(object: number): Iterable<NotedName> {
    yield* this.#in.get(object)?.values() ?? [];
    const own = this.#of.get(object);
    if (own instanceof Set) yield* own;
    else if (own !== undefined) yield own;
  }
  /** The kernel has forgotten it as it was noted. */
  forgotten(noted: NotedName): void {
    const known = this.#in.get(noted.directory);
    if (known?.get(noted.name) !== noted) return;
    known.delete(noted.name);
    if (known.size === 0) this.#in.delete(noted.directory);
    if (noted.object !== undefined) this.#takeFrom(noted.object, noted);
  }
  /** The kernel has let go of the object, and before of each name in it and of it. */
  gone(object: number): void {
    for (const noted of [...this.about(object)]) this.forgotten(noted);
  }

  #addTo(object: number, noted: NotedName): void {
    const own = this.#of.get(object);
    if (own === undefined) this.#of.set(object, noted);
    else if (own instanceof Set) own.add(noted);
    else this.#of.set(object, new Set([own, noted]));
  }
  #takeFrom(object: number, noted: NotedName): void {
    const own = this.#of.get(object);
    if (own instanceof Set) own.delete(noted);
    if (own === noted || (own instanceof Set && own.size === 0)) this.#of.delete(object);
  }
}
