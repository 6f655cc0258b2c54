/** Tokens answered of late, so that a second answer is told apart from one to a token that never was. Bounded. */
import type { Token } from "../../dmapi/ids.js";

const REMEMBERED = 4_096;

export class RecentTokens {
  readonly #tokens = new Set<Token>();

  add(token: Token): void {
    this.#tokens.delete(token);
    this.#tokens.add(token);
    if (this.#tokens.size > REMEMBERED) this.#tokens.delete(this.#tokens.values().next().value!);
  }
  has(token: Token): boolean {
    return this.#tokens.has(token);
  }
  clear(): void {
    this.#tokens.clear();
  }
}
