/**
 * Moves files about beneath their users, as often as it is asked: a process of its own, since looking up a path of a mount
 * may block. Takes lines `VERB PATH...` as JSON lists, answers each with how many files changed their state.
 *
 * Usage: mover.js SOCKET FILE_SYSTEM
 */
import { createInterface } from "node:readline";
import { connect } from "../client/index.js";
import type { MoveVerb } from "../migration/request-format.js";
import { MigratorClient, resolveTargets } from "../migration/requests.js";

const [socket = "", fs = ""] = process.argv.slice(2);

for await (const line of createInterface(process.stdin)) {
  const [verb, ...paths] = JSON.parse(line) as [MoveVerb, ...string[]];
  const answer = { verb, changed: 0, refused: {} as Record<string, number> };
  const refuse = (code: string) => {
    answer.refused[code] = (answer.refused[code] ?? 0) + 1;
  };
  try {
    using connection = await connect({ socket }); // the daemon may be another one than the last time
    const client = await MigratorClient.find(connection, fs);
    const targets = [];
    for await (const target of resolveTargets(connection, paths)) {
      if ("handle" in target) targets.push(target);
      else refuse(target.failure.code);
    }
    for await (const event of client.move(verb, targets)) {
      if (event.kind !== "result") continue;
      if (!event.result.ok) refuse(event.result.code);
      else if (event.result.changed) answer.changed++;
    }
  } catch (error) {
    refuse((error as { code?: string }).code ?? String(error));
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
