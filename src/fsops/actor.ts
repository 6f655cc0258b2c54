/**
 * One user program of a run: an ordinary process on an ordinary mount that is given turns on objects, one line of JSON
 * each, and says how each came out. It blocks where users block.
 *
 * Usage: actor.js NUMBER DIRECTORY KNOWLEDGE SEATS (of others, as JSON)
 */
import { readSync, writeSync } from "node:fs";
import { dataTurn } from "./data.js";
import type { ObjectKind } from "./plan.js";
import { appendTurn, counterTurn, directoryTurn, slicesTurn } from "./shared.js";
import { treeTurn } from "./tree.js";
import { type Seat, Turn, type TurnAnswer, type TurnOrder } from "./turn.js";

const [numberText = "0", directory = "", knowledge = "", seats = "[]"] = process.argv.slice(2);
const elsewhere = JSON.parse(seats) as Seat[];
const turnOf: Readonly<Record<ObjectKind, (turn: Turn) => void>> = {
  data: dataTurn, tree: treeTurn, append: appendTurn, slices: slicesTurn, counter: counterTurn, directory: directoryTurn,
};

const input = Buffer.alloc(65536);
let rest = "";
function nextLine(): string {
  for (;;) {
    const end = rest.indexOf("\n");
    if (end >= 0) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      return line;
    }
    const got = readSync(0, input, 0, input.length, null);
    if (got === 0) process.exit(0);
    rest += input.toString("latin1", 0, got);
  }
}
function say(answer: TurnAnswer): void {
  writeSync(1, `${JSON.stringify(answer)}\n`);
}

function take(order: TurnOrder): void {
  const turn = new Turn(order, Number(numberText), directory, knowledge, elsewhere);
  if (order.isTogether) {
    say({ kind: "ready", turn: order.turn });
    nextLine();
  }
  let problem: string | undefined;
  try {
    turnOf[order.objectKind](turn);
  } catch (error) {
    problem = error instanceof Error ? (error.name === "Error" && !("code" in error) ? error.message : (error.stack ?? error.message)) : String(error);
  }
  say({ kind: "done", turn: order.turn, counts: turn.counts, ...(problem === undefined ? {} : { problem }) });
}

for (;;) take(JSON.parse(nextLine()) as TurnOrder);
