/**
 * The reactor's way to the holder: descriptors that must outlive this daemon, since nothing else brings back what they hold:
 * users' locks, and files that have no name any more.
 *
 * Handing one over is one send that never waits; from then on the kernel keeps what the descriptor stands for, whether the
 * holder has looked yet or not. What was handed over must be taken back when it is no longer meant to live. When the holder
 * ends nothing is kept until another is there, which then has to be given everything.
 *
 * Source    safety H11.
 */
import { errno } from "../../os/errno.js";
import { close, dup } from "../../os/files.js";
import { type FromKeeper, KEPT_PER_MESSAGE, type KeptName, sendMessage } from "../holder/messages.js";

interface Unsent {
  readonly message: FromKeeper;
  readonly fds: readonly number[];
}

export class DescriptorKeeper {
  #socket: number;
  #unsent: Unsent[] = [];
  /** Nothing is kept: the holder has ended. */
  #isLost = false;

  /** @param socket -1: the holder has not taken the mount yet; what is to be kept waits. */
  constructor(socket: number) {
    this.#socket = socket;
  }
  /** True: this is another holder than before, which has nothing yet. */
  connect(socket: number): boolean {
    const isAnother = this.#socket >= 0 || this.#isLost;
    if (isAnother) {
      this.#lose();
      if (this.#socket >= 0) close(this.#socket);
    }
    this.#isLost = false;
    this.#socket = socket;
    this.flush();
    return isAnother;
  }
  /** `fd` stays the caller's. */
  keep(name: KeptName, fd: number): void {
    this.#send({ kind: "keep", names: [name] }, [fd]);
  }
  keepAll(all: readonly { readonly name: KeptName; readonly fd: number }[]): void {
    for (let at = 0; at < all.length; at += KEPT_PER_MESSAGE) {
      const some = all.slice(at, at + KEPT_PER_MESSAGE);
      this.#send({ kind: "keep", names: some.map(({ name }) => name) }, some.map(({ fd }) => fd));
    }
  }
  drop(keys: readonly string[]): void {
    this.#send({ kind: "drop", keys }, []);
  }
  /** Sends what did not fit; to be called from time to time. */
  flush(): void {
    if (this.#socket < 0) return;
    for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
      if (this.#sendNow(next) === -errno.EAGAIN) return;
      for (const fd of next.fds) close(fd);
      this.#unsent.shift();
    }
  }
  /** Nothing waits for room any more. */
  get isAllSent(): boolean {
    return this.#unsent.length === 0;
  }
  close(): void {
    this.flush();
    if (this.#socket >= 0) close(this.#socket);
    this.#socket = -1;
    this.#lose();
  }

  #send(message: FromKeeper, fds: readonly number[]): void {
    if (this.#isLost) return;
    const unsent = { message, fds };
    if (this.#socket < 0 || this.#unsent.length > 0 || this.#sendNow(unsent) === -errno.EAGAIN) this.#unsent.push({ message, fds: fds.map((fd) => dup(fd)) });
  }
  #sendNow({ message, fds }: Unsent): number {
    const sent = sendMessage(this.#socket, message, fds);
    if (sent < 0 && sent !== -errno.EAGAIN && sent !== -errno.EBADF) this.#lose();
    return sent;
  }
  #lose(): void {
    this.#isLost = true;
    for (const { fds } of this.#unsent.splice(0)) for (const fd of fds) close(fd);
  }
}
