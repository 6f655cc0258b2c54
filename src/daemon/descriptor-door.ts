/**
 * `<socket>.fd`: an application hands in a ticket and gets the open descriptor that goes with it (SCM_RIGHTS), so that
 * large files move at native speed and the guard on the descriptor lives exactly as long as the power to write (C1).
 *
 * A ticket is good once, for `TICKET_MS`; it is a secret of 128 bits, and besides only those may connect who may call.
 * Source    wire/application-frames.ts (what goes over the socket); unix(7).
 */
import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { sendDescriptors } from "../os/descriptors.js";
import { errnoName } from "../os/errno.js";
import { credentialsOf, descriptorOf, listenPrivately, refusalOf } from "./application-server.js";

const TICKET_MS = 30_000;
const TICKET_LENGTH = 32;
const CARRIER = Buffer.from([1]);

interface Offer {
  readonly fd: number;
  readonly done: () => void;
  readonly timer: NodeJS.Timeout;
}

export class DescriptorDoor {
  readonly #server: Server;
  readonly #offers = new Map<string, Offer>();
  readonly #sockets = new Set<Socket>();
  readonly #group: number | undefined;
  readonly #log: (line: string) => void;

  static async open(path: string, group: number | undefined, log: (line: string) => void): Promise<DescriptorDoor> {
    const server = createServer();
    await listenPrivately(server, path, group);
    return new DescriptorDoor(server, group, log);
  }

  private constructor(server: Server, group: number | undefined, log: (line: string) => void) {
    this.#server = server;
    this.#group = group;
    this.#log = log;
    server.on("connection", (socket) => this.#accept(socket));
    server.on("error", (error) => log(`descriptor socket: ${error.message}`));
  }

  /** A ticket for `fd`. `done` is called once: passed on, or the ticket ran out; the caller may then close its own. */
  offer(fd: number, done: () => void): string {
    const ticket = randomBytes(TICKET_LENGTH / 2).toString("hex");
    this.#offers.set(ticket, { fd, done, timer: setTimeout(() => this.withdraw(ticket), TICKET_MS) });
    return ticket;
  }

  withdraw(ticket: string): void {
    const offer = this.#offers.get(ticket);
    if (offer === undefined) return;
    this.#offers.delete(ticket);
    clearTimeout(offer.timer);
    offer.done();
  }

  async close(): Promise<void> {
    for (const ticket of [...this.#offers.keys()]) this.withdraw(ticket);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    const who = credentialsOf(socket);
    const refusal = typeof who === "string" ? who : refusalOf(who, this.#group);
    socket.on("error", () => {});
    if (refusal !== undefined) {
      this.#log(`descriptor socket: turned away: ${refusal}`);
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.setTimeout(TICKET_MS, () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    let said = "";
    socket.on("data", (chunk) => {
      said += chunk.toString("latin1");
      const end = said.indexOf("\n");
      if (end < 0 && said.length <= TICKET_LENGTH) return;
      socket.removeAllListeners("data");
      this.#hand(socket, end < 0 ? said : said.slice(0, end));
    });
  }

  #hand(socket: Socket, ticket: string): void {
    const offer = this.#offers.get(ticket);
    if (offer === undefined) {
      this.#log("descriptor socket: a ticket that is not known, or not any more");
      socket.destroy();
      return;
    }
    const sent = sendDescriptors(descriptorOf(socket), CARRIER, [offer.fd]);
    if (sent < 0) this.#log(`descriptor socket: passing a descriptor: ${errnoName(sent)}`);
    this.withdraw(ticket);
    socket.end();
  }
}
