/**
 * What commands print: tables for people, JSON for programs; lists as one object per line.
 *
 * Units     sizes in binary multiples, ages in the largest fitting unit.
 */

/** One line for a document, one line per element for a list; 64-bit values as text, bytes as hexadecimal. */
export function printJson(value: unknown): void {
  const lines = Array.isArray(value) ? value : [value];
  for (const line of lines) process.stdout.write(`${toJson(line)}\n`);
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, inner: unknown) {
    const raw = this[key]; // a Buffer has turned itself into something else before we are asked
    if (typeof raw === "bigint") return raw.toString();
    return raw instanceof Uint8Array ? Buffer.from(raw).toString("hex") : inner;
  });
}

/** Left-aligned columns; an empty table prints what it would have listed. */
export function printTable(heads: readonly string[], rows: readonly (readonly (string | number)[])[], nothing: string): void {
  if (rows.length === 0) {
    process.stdout.write(`${nothing}\n`);
    return;
  }
  const texts = [heads, ...rows].map((row) => row.map((cell) => printable(String(cell))));
  const widths = heads.map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  for (const row of texts) {
    process.stdout.write(`${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join("  ")}\n`);
  }
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Control characters of file names must not reach a terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function formatAge(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}

/** Progress on one line of a terminal; silent elsewhere, so that logs stay plain. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream = process.stderr;
  readonly #beganMs = performance.now();
  #shownAtMs = 0;
  #isShown = false;

  show(verb: string, done: { files: number; bytes: number }, total: { files: number; bytes: number }): void {
    const nowMs = performance.now();
    if (!this.#stream.isTTY || nowMs - this.#shownAtMs < 100) return;
    this.#shownAtMs = nowMs;
    const seconds = Math.max(0.001, (nowMs - this.#beganMs) / 1000);
    const rate = done.bytes / seconds;
    const fileRate = done.files / seconds;
    const left = rate > 0 && total.bytes > 0 ? (total.bytes - done.bytes) / rate : fileRate > 0 ? (total.files - done.files) / fileRate : undefined;
    const tail = left === undefined ? "" : `, ${formatAge(Math.max(0, left) * 1000)} left`;
    this.#stream.write(`\r\u001b[K${verb} ${done.files}/${total.files} files, ${formatBytes(done.bytes)}, ${formatBytes(rate)}/s${tail}`);
    this.#isShown = true;
  }

  end(): void {
    if (this.#isShown) this.#stream.write("\r\u001b[K");
    this.#isShown = false;
  }
}
