/**
 * A daemon whose answers are written down: real sockets and frames, for tests of those who talk to one.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { decodeToDaemon, encodeToApplication, type FrameToDaemon, FrameSplitter, HELLO_CALL } from "../wire/application-frames.js";

export const directory = mkdtempSync(join(tmpdir(), "sluice-test-client-"));
export const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true, force: true });
});

export type Answer = { result: unknown } | { failure: { code: string; message: string } } | "silence" | "hang-up";
export type Script = (frame: FrameToDaemon, seen: FrameToDaemon[]) => Answer | Promise<Answer>;
let count = 0;

export async function scriptedDaemon(script: Script, versions: unknown = { lowest: 1, highest: 1 }): Promise<{ socket: string; seen: FrameToDaemon[] }> {
  const seen: FrameToDaemon[] = [];
  const path = join(directory, `node${count++}.sock`);
  const server = createServer((socket: Socket) => {
    const splitter = new FrameSplitter();
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const body of splitter.push(chunk)) {
        const frame = decodeToDaemon(body);
        if (frame.kind === "call" && frame.name === HELLO_CALL) {
          socket.write(Buffer.from(encodeToApplication({ kind: "result", id: frame.id, result: { version: 1, versions } })));
          continue;
        }
        seen.push(frame);
        void answerTo(frame);
      }
    });
    const answerTo = async (frame: FrameToDaemon) => {
      const answer = await script(frame, seen);
      if (answer === "hang-up") socket.destroy();
      else if (answer === "silence") return;
      else if ("result" in answer) socket.write(Buffer.from(encodeToApplication({ kind: "result", id: frame.id, result: answer.result })));
      else socket.write(encodeToApplication({ kind: "failure", id: frame.id, failure: answer.failure as { code: "EIO"; message: string } }));
    };
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { socket: path, seen };
}
