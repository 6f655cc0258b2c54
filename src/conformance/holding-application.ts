/**
 * A DM application that takes events and answers them only when told.
 *
 * Usage: holding-application.js SOCKET SESSION. It prints "ready", then "got TOKEN TYPE" for each event; a line "answer
 * TOKEN" on its standard input lets that user go on, and it prints "answered TOKEN" or "refused CODE".
 */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { connect, DmError, type Token } from "../client/index.js";

const [socket = "", id = ""] = process.argv.slice(2);
const connection = await connect({ socket });
const session = await connection.attachSession(Number(id));

createInterface(process.stdin).on("line", async (line) => {
  const token = Number(line.split(" ")[1]) as Token;
  try {
    await connection.call("event.respond", { session: session.id, token, response: { kind: "continue" } });
    writeSync(1, `answered ${token}\n`);
  } catch (error) {
    writeSync(1, `refused ${error instanceof DmError ? error.code : String(error)}\n`);
  }
});
writeSync(1, "ready\n");
for await (const event of session.events()) if (event.token !== undefined) writeSync(1, `got ${event.token} ${event.type}\n`);
