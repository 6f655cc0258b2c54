/**
 * The judge of a torture run: what every reader saw, held against what the writers did.
 *
 * A block read in [begun, ended] may be of any version whose write had begun by then, but of none older than the last
 * write that was complete before the read began. A mapping or a long-held page is judged from the moment its file was
 * opened. A write that failed may have written any part.
 *
 * Units     nanoseconds of the machine's monotonic clock (comparable between processes).
 */
export interface WriteReport {
  readonly file: number;
  readonly version: number;
  readonly begunNs: bigint;
  readonly endedNs: bigint;
  /** Absent when it succeeded. */
  readonly error?: string;
}
export interface ReadReport {
  readonly file: number;
  /** From when on the reader is owed the newest version. */
  readonly owedFromNs: bigint;
  readonly endedNs: bigint;
  readonly versions: readonly number[];
  readonly how: string;
}

export class Oracle {
  readonly #begun = new Map<number, WriteReport[]>();
  readonly #pending: ReadReport[] = [];
  readonly #inFlight = new Map<number, { version: number; begunNs: bigint }>();
  readonly violations: string[] = [];
  readsJudged = 0;

  writeBegun(file: number, version: number, begunNs: bigint): void {
    this.#inFlight.set(file, { version, begunNs });
  }

  writeEnded(report: WriteReport): void {
    this.#inFlight.delete(report.file);
    const history = this.#begun.get(report.file) ?? [];
    history.push(report);
    this.#begun.set(report.file, history);
  }

  readEnded(report: ReadReport): void {
    this.#pending.push(report);
  }

  /** Judges all reads that ended before `untilNs`; later ones may still have unreported writes beside them. */
  judge(untilNs: bigint): void {
    const later: ReadReport[] = [];
    for (const read of this.#pending) {
      if (read.endedNs >= untilNs) later.push(read);
      else this.#judgeOne(read);
    }
    this.#pending.length = 0;
    this.#pending.push(...later);
  }

  /** The oldest and newest version a file may have at the end. */
  finalVersions(file: number): { oldest: number; newest: number } {
    const history = this.#begun.get(file) ?? [];
    let oldest = 1;
    let newest = 1;
    for (const write of history) {
      if (write.error === undefined) oldest = Math.max(oldest, write.version);
      newest = Math.max(newest, write.version);
    }
    return { oldest, newest: Math.max(newest, this.#inFlight.get(file)?.version ?? 1) };
  }

  #judgeOne(read: ReadReport): void {
    this.readsJudged++;
    const history = this.#begun.get(read.file) ?? [];
    let oldest = 1;
    let newest = 1;
    for (const write of history) {
      if (write.error === undefined && write.endedNs < read.owedFromNs) oldest = Math.max(oldest, write.version);
      if (write.begunNs < read.endedNs) newest = Math.max(newest, write.version);
    }
    const flight = this.#inFlight.get(read.file);
    if (flight !== undefined && flight.begunNs < read.endedNs) newest = Math.max(newest, flight.version);
    for (const version of read.versions) {
      if (version < oldest || version > newest) {
        this.violations.push(
          `${read.how} of file ${read.file} saw version ${version}, owed ${oldest}..${newest} (read ended at ${read.endedNs})`,
        );
      }
    }
  }
}
