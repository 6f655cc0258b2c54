/**
 * Tells the demonstration: each step with what was checked and how long it took; a check that fails ends it.
 *
 * Units     milliseconds.
 */
import { formatAge, printable, printLine } from "../output.js";

export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
}

export class Narrator {
  checks = 0;
  #step = 0;
  readonly #beganMs = performance.now();

  get elapsedMs(): number {
    return performance.now() - this.#beganMs;
  }

  /** One step of the story. */
  async step<T>(title: string, act: () => Promise<T>): Promise<T> {
    const beganMs = performance.now();
    this.#step++;
    printLine(`\n${this.#step}. ${title}`);
    const result = await act();
    printLine(`   done in ${formatAge(performance.now() - beganMs)}`);
    return result;
  }

  /** Something to look at. */
  show(text: string): void {
    for (const line of text.split("\n")) printLine(`   | ${printable(line)}`);
  }

  /** Something that must hold. */
  check(what: string, isTrue: boolean, found = ""): void {
    this.checks++;
    printLine(`   ${isTrue ? "checked" : "FAILED "} ${what}${found === "" ? "" : ` (${printable(found)})`}`);
    if (!isTrue) throw new CheckFailure(`${what}${found === "" ? "" : `: ${found}`}`);
  }
}
