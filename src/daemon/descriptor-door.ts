/**
 * `<socket>.fd`: an application hands in a ticket and gets the open descriptor that goes with it (SCM_RIGHTS), so that
 * large files move at native speed and the guard on the descriptor lives exactly as long as the power to write (C1).
 *
 * Not here  tickets and what they stand for (volume/guards.ts).
 * Source    wire/application-frames.ts (what goes over the socket); unix(7).
 */
import { createServer, type Server, type Socket } from "node:net";
import { sendDescriptors } from "../os/descriptors.js";
import { errnoName } from "../os/errno.js";
import { descriptorOf } from "../wire/write-together.js";
import { credentialsOf, listenPrivately, refusalOf } from "./application-server.js";

/** How long a guest may take to say which ticket. */
const SILENCE_MS = 30_000;
const TICKET_LENGTH_MAX = 256;
const CARRIER = Buffer.from([1]);

export interface DescriptorDoorOptions {
  readonly path: string;
  readonly group: number | undefined;
  /** Once per ticket; `release` is called when the descriptor has been passed on, or could not be. */
  redeem(ticket: string): { readonly fd: number; release(): void } | undefined;
  log(line: string): void;
}

export class DescriptorDoor {
  readonly #options: DescriptorDoorOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async open(options: DescriptorDoorOptions): Promise<DescriptorDoor> {
    const server = createServer();
    await listenPrivately(server, options.path, options.group);
    return new DescriptorDoor(options, server);
  }

  private constructor(options: DescriptorDoorOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
    server.on("error", (error) => options.log(`descriptor socket: ${error.message}`));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const who = credentialsOf(socket);
    const refusal = typeof who === "string" ? who : refusalOf(who, this.#options.group);
    socket.on("error", () => {}); // what follows is "close"
    if (refusal !== undefined) {
      this.#options.log(`descriptor socket: turned away: ${refusal}`);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    let said = "";
    socket.on("data", (chunk) => {
      said += chunk.toString("latin1");
      const end = said.indexOf("\n");
      if (end < 0 && said.length <= TICKET_LENGTH_MAX) return;
      socket.removeAllListeners("data");
      this.#hand(socket, end < 0 ? "" : said.slice(0, end));
    });
  }

  #hand(socket: Socket, ticket: string): void {
    const held = this.#options.redeem(ticket);
    if (held === undefined) {
      this.#options.log("descriptor socket: a ticket that is not known, or not any more");
      socket.destroy();
      return;
    }
    const sent = sendDescriptors(descriptorOf(socket), CARRIER, [held.fd]);
    held.release();
    if (sent < 0) this.#options.log(`descriptor socket: passing a descriptor: ${errnoName(sent)}`);
    socket.end();
  }
}
