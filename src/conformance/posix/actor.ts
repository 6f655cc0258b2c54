/**
 * A user program on a mount: it takes on an identity once, and makes the calls it is told, one line of JSON each way.
 *
 * Usage: actor.js UID GID [GROUP...]. It waits in the calls themselves: a call that blocks blocks it, as it would a program;
 * SIGUSR1 interrupts it.
 *
 * Not here  the calls (calls.ts), the look at the whole tree (witness.ts).
 */
import { readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import * as program from "../../os/program-calls.js";
import { calls, Holdings } from "./calls.js";
import { Witness } from "./witness.js";

export interface ActorOrder {
  readonly call: string;
  readonly args: readonly string[];
  /** The name under which an open file or mapping is kept. */
  readonly as?: string;
}

const [uid = 0, gid = 0, ...groups] = process.argv.slice(2).map(Number);
process.setgroups!(groups);
process.setgid!(gid);
process.setuid!(uid);
program.interruptOn(constants.signals.SIGUSR1);
program.ignoreSignal(constants.signals.SIGXFSZ);

let held = new Holdings();
const witness = new Witness();

function obey({ call, args, as }: ActorOrder): string {
  switch (call) {
    case "enter": {
      program.umask(0);
      const entered = program.chdir(args[0]!);
      return entered < 0 ? `cannot enter ${args[0]}: errno ${-entered}` : "ok";
    }
    case "leave":
      held.letGo();
      held = new Holdings();
      program.limitFileSize(undefined);
      program.chdir("/");
      return "ok";
    case "begin": return witness.begin(args);
    case "look": return witness.look(args[0] === "mounts");
    default: {
      const act = calls[call];
      return act === undefined ? `there is no call ${call}` : act(held, args, as);
    }
  }
}

const piece = Buffer.alloc(65536);
let text = "";
for (let length = readSync(0, piece); length > 0; length = readSync(0, piece)) {
  text += piece.toString("latin1", 0, length);
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
    const order = JSON.parse(text.slice(0, end)) as ActorOrder;
    text = text.slice(end + 1);
    let result: string;
    try {
      result = obey(order);
    } catch (error) {
      result = `failed: ${(error as Error).stack}`;
    }
    writeSync(1, `${JSON.stringify(result)}\n`);
  }
}
