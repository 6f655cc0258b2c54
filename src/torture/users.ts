/**
 * Users of the files of a run: processes (actor.ts) that are started again when their mount dies under them, what they
 * say held against the oracle, and versions to write given out so that no file has two writers.
 */
import type { ChildProcess } from "node:child_process";
import { delay } from "../cli/cluster/local-cluster.js";
import type { NodeId } from "../dmapi/ids.js";
import { type Line, now, type Run, stateOfProcess } from "./run.js";

export interface KeptProgramOptions {
  readonly args: (generation: number) => readonly string[];
  readonly hear: (line: Line) => void;
  /** Whether its end needs no explanation. */
  readonly ended: (signal: NodeJS.Signals | null) => boolean;
}
/** A program that is started again whenever it ends. */
export class KeptProgram {
  readonly run: Run;
  readonly role: string;
  readonly node: NodeId;
  child: ChildProcess;
  readonly #options: KeptProgramOptions;
  #generation = 0;
  isKept = true;

  constructor(run: Run, role: string, node: NodeId, options: KeptProgramOptions) {
    this.run = run;
    this.role = role;
    this.node = node;
    this.#options = options;
    this.child = this.#begin();
  }
  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  #begin(): ChildProcess {
    const child = this.run.spawn(this.#options.args(this.#generation++), this.#options.hear);
    child.on("exit", (code, signal) => {
      if (this.run.isEnding || !this.isKept) return;
      const isExcused = this.#options.ended(signal);
      if (!isExcused && !(signal === "SIGBUS" && this.run.isExplained(this.node, "SIGBUS", now()))) this.run.problems.push(`${this.role} on ${this.node} ended: ${code} ${signal}`);
      this.run.count(`${this.role} restarted (${signal})`);
      setTimeout(() => {
        if (!this.run.isEnding && this.isKept) this.child = this.#begin();
      }, 500);
    });
    return child;
  }
}

export class Users {
  readonly #run: Run;
  readonly #all: KeptProgram[] = [];
  readonly #writers: { readonly program: KeptProgram; busyFile: number | undefined; begunNs: bigint }[] = [];
  readonly #lastVersion: number[];
  #number = 0;

  constructor(run: Run) {
    this.#run = run;
    this.#lastVersion = run.sizes.map(() => 1);
  }
  get isWriting(): boolean {
    return this.#writers.some((writer) => writer.busyFile !== undefined);
  }

  add(role: "reader" | "mapper" | "writer" | "executor", node: NodeId): void {
    const run = this.#run;
    const number = this.#number++;
    const args = (generation: number) => [
      run.program("torture", "actor.js"), role, run.files(node), String(run.seed * 1000 + number + 100 * generation), JSON.stringify(run.sizes), String(run.executables),
    ];
    const program: KeptProgram = new KeptProgram(run, role, node, {
      args, hear: (line) => this.#hear(program, line),
      ended: () => {
        this.#abandoned(program);
        return false;
      },
    });
    this.#all.push(program);
    if (role === "writer") this.#writers.push({ program, busyFile: undefined, begunNs: 0n });
  }

  giveWork(): void {
    const run = this.#run;
    for (const writer of this.#writers) {
      if (writer.busyFile !== undefined || run.isFaulted(writer.program.node)) continue;
      const file = run.random.below(run.sizes.length);
      if (this.#writers.some((other) => other.busyFile === file)) continue;
      const version = ++this.#lastVersion[file]!;
      writer.busyFile = file;
      writer.begunNs = now();
      run.oracle.writeBegun(file, version, writer.begunNs);
      writer.program.tell(`${file} ${version}`);
    }
  }
  /** A writer that died may have written any part. */
  #abandoned(program: KeptProgram): void {
    const writer = this.#writers.find((each) => each.program === program);
    if (writer?.busyFile === undefined) return;
    const file = writer.busyFile;
    this.#run.oracle.writeEnded({ file, version: this.#lastVersion[file]!, begunNs: writer.begunNs, endedNs: now(), error: "gone" });
    writer.busyFile = undefined;
  }

  #hear({ role, node }: KeptProgram, line: Line): void {
    const run = this.#run;
    const file = Number(line["file"]);
    switch (line["kind"]) {
      case "read":
        run.count(String(line["how"]));
        run.oracle.readEnded({
          file, owedFromNs: BigInt(line["owedFromNs"] as string), endedNs: BigInt(line["endedNs"] as string),
          versions: line["versions"] as number[], how: `${line["how"]} on ${node}`,
        });
        break;
      case "wrong":
        run.problems.push(`WRONG BYTES ${line["how"]} on ${node}: ${line["text"]} at ${line["atNs"]}`);
        break;
      case "error": {
        const atNs = BigInt(line["atNs"] as string);
        run.count(`error ${line["code"]}`);
        if (!run.isExplained(node, String(line["code"]), atNs)) run.problems.push(`unexplained ${line["code"]} of ${role} on ${node} at ${run.secondsAt(atNs).toFixed(1)} s: ${line["text"]}`);
        break;
      }
      case "executed":
        run.count("exec");
        break;
      case "wrote":
        this.#wrote(node, file, line);
        break;
    }
  }
  #wrote(node: NodeId, file: number, line: Line): void {
    const run = this.#run;
    const error = line["error"] as string | undefined;
    const writer = this.#writers.find((each) => each.busyFile === file);
    run.count(error === undefined ? "write" : `write error ${error}`);
    const begunNs = writer?.begunNs ?? BigInt(line["begunNs"] as string);
    run.oracle.writeEnded({ file, version: Number(line["version"]), begunNs, endedNs: BigInt(line["endedNs"] as string), ...(error === undefined ? {} : { error }) });
    if (error !== undefined && !run.isExplained(node, error, begunNs)) run.problems.push(`unexplained ${error} of a write on ${node}`);
    if (writer !== undefined) writer.busyFile = undefined;
  }

  /** Every user must die of SIGKILL: promise 2, never an unkillable one. */
  async end(): Promise<void> {
    for (const program of this.#all) {
      program.isKept = false;
      program.child.kill("SIGKILL");
    }
    for (let waited = 0; waited < 400 && this.#all.some((program) => !program.isOver); waited++) await delay(50);
    for (const { role, node, child, isOver } of this.#all) {
      if (!isOver) this.#run.problems.push(`${role} on ${node} (pid ${child.pid}) cannot be killed: ${stateOfProcess(child.pid ?? 0)}`);
    }
  }

  /** Makes all files. */
  async setup(node: NodeId): Promise<void> {
    const made = await this.#run.execute("mkdir", [this.#run.files(node)], 60_000);
    if (made.code !== 0) throw new Error(`mkdir on ${node}: ${made.stderr}`);
    await this.#once("setup", node, 120_000);
  }
  /** Reads all files on that node: each must have the last version that was written, whole. */
  async verify(node: NodeId, timeoutMs = 240_000): Promise<void> {
    const seen = await this.#once("verify", node, timeoutMs);
    for (let file = 0; file < this.#run.sizes.length; file++) {
      const { oldest, newest } = this.#run.oracle.finalVersions(file);
      for (const version of seen.get(file) ?? [])
        if (version < oldest || version > newest) this.#run.problems.push(`LOST UPDATE file ${file} on ${node}: version ${version}, owed ${oldest}..${newest}`);
    }
  }
  async #once(role: "setup" | "verify", node: NodeId, timeoutMs: number): Promise<Map<number, number[]>> {
    const run = this.#run;
    const seen = new Map<number, number[]>();
    let isDone = false;
    const child = run.spawn([run.program("torture", "actor.js"), role, run.files(node), "1", JSON.stringify(run.sizes), String(run.executables)], (line) => {
      if (line["kind"] === "wrong") run.problems.push(`WRONG BYTES at the end on ${node}: ${line["text"]}`);
      if (line["kind"] === "verified") seen.set(Number(line["file"]), line["versions"] as number[]);
      if (line["kind"] === "done") isDone = true;
    });
    const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
    await Promise.race([ended, delay(timeoutMs)]);
    if (!isDone) run.problems.push(`${role} on ${node} did not finish within ${timeoutMs / 1000} s`);
    child.kill("SIGKILL");
    return seen;
  }
}
