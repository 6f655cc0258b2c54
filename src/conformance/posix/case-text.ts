/**
 * How a case is written, and its reading. A table is text:
 *
 *   == an existing name is not made again
 *   file f 644 old
 *   alice@b: open f rdwr,creat,excl 600 = EEXIST
 *
 * A step is `[USER[@NODE]: ][NAME=]CALL ARGUMENTS[ = RESULT][ # mount: RESULT, REASON]`. Without a user it is root; without a
 * node the steps of a case take turns on the nodes, but for those that use what another has opened. Without a result it has
 * to succeed, and the bare file system says how. `under:` acts on the backing itself. `&CALL` does not wait for its end:
 * `blocked` says that it still runs, `interrupt` sends its actor a signal, `wait` gives its result. `die` kills the actor.
 *
 * `# mount: RESULT, REASON` is a difference that stands in docs/posix.md under that reason, `# two: RESULT, REASON` one
 * between nodes only, `# unseen: RESULT, REASON` one between nodes that have not looked meanwhile, `# tree: REASON` one in
 * what the step does to the tree, `# mount+tree: RESULT, REASON` both; so with the others. In arguments `%41` is a byte, `{x*255}` as many x.
 */

export interface Step {
  readonly text: string;
  readonly user: string;
  readonly node: "a" | "b" | undefined;
  readonly isLeftRunning: boolean;
  readonly as: string | undefined;
  readonly call: string;
  readonly args: readonly string[];
  readonly expected: string | undefined;
  /** How a mount differs, and under which heading of docs/posix.md that stands. */
  readonly difference: Difference | undefined;
}
export interface Difference {
  /** On any mount, only with the two nodes of the case on two mounts, or only when these have not looked at the tree meanwhile. */
  readonly where: "mount" | "two" | "unseen";
  /** Undefined: the result is the same. */
  readonly result: string | undefined;
  /** What the step does to the tree is another thing too. */
  readonly isOfTree: boolean;
  readonly reason: string;
}
export interface Case {
  readonly title: string;
  readonly steps: readonly Step[];
  /**
   * How its title begins. `access:` its steps are ticks apart, and what they do to access times counts; `large:` nothing in
   * its directory is looked at.
   */
  readonly look: "access" | "large" | undefined;
}

const form = /^(?:(?<user>[a-z]+)(?:@(?<node>[ab]))?: )?(?<running>&)?(?:(?<as>[a-z]\w*)=)?(?<call>[a-z_]\w*)(?<args>(?: (?!= |=$)\S+)*?)(?: = (?<expected>.*?))?(?: # (?<where>tree|(?:mount|two|unseen)(?:\+tree)?): (?:(?<result>.+), )?(?<reason>[a-z-]+))?$/;

function argument(text: string): string {
  return text
    .replaceAll(/\{(.+?)\*(\d+)\}/g, (_, piece: string, count: string) => piece.repeat(Number(count)))
    .replaceAll(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
function step(text: string): Step {
  const found = form.exec(text)?.groups;
  if (found === undefined) throw new Error(`this is no step: ${text}`);
  return {
    text, user: found["user"] ?? "root", node: found["node"] as Step["node"], isLeftRunning: found["running"] !== undefined, as: found["as"],
    call: found["call"]!, args: (found["args"] ?? "").split(" ").filter((word) => word !== "").map(argument), expected: found["expected"],
    difference: found["reason"] === undefined ? undefined : {
      where: (/^(two|unseen)/.exec(found["where"]!)?.[1] ?? "mount") as Difference["where"], result: found["result"], isOfTree: found["where"]!.endsWith("tree"), reason: found["reason"],
    },
  };
}

export function table(text: string): Case[] {
  return text.split(/^== /m).slice(1).map((part) => {
    const [title, ...lines] = part.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    return { title: title!, steps: lines.map(step), look: /^(access|large): /.exec(title!)?.[1] as Case["look"] };
  });
}
