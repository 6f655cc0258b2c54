/**
 * The views of a cluster as they come into being: each is one file in the coordination directory, linked once.
 *
 * Units     the time of a view is that of its file's last change of names, told on the machine's monotonic clock.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { decodeViewFile, parseViewName } from "../coordination/shared-volume/layout.js";
import { now } from "../torture/run.js";
import type { History } from "./history.js";

export class ViewWatch {
  readonly #directory: string;
  readonly #history: History;
  readonly #seen = new Set<number>();

  constructor(directory: string, history: History) {
    this.#directory = join(directory, "views");
    this.#history = history;
  }

  look(): void {
    for (const name of this.#names()) {
      const number = parseViewName(name);
      if (number === undefined || this.#seen.has(number)) continue;
      try {
        const path = join(this.#directory, name);
        const { ctimeMs } = statSync(path);
        const file = decodeViewFile(readFileSync(path, "latin1"));
        if (file === undefined || file.view.number !== number) continue; // an old one's name points elsewhere
        this.#seen.add(number);
        const agoNs = BigInt(Math.max(0, Math.round((Date.now() - ctimeMs) * 1e6)));
        this.#history.add({ kind: "view", view: file.view, who: "coordination", node: file.view.manager, atNs: now() - agoNs });
      } catch {
        // Removed between two looks.
      }
    }
  }
  #names(): string[] {
    try {
      return readdirSync(this.#directory);
    } catch {
      return []; // not made yet
    }
  }
}
