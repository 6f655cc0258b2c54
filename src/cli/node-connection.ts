/**
 * How a command reaches a node: `--socket PATH`, else SLUICE_SOCKET, else the only node that runs on this machine.
 */
import type { Command } from "commander";
import { type Connection, connect, findSocket } from "../client/index.js";
import type { ArgsOf, CallName, ResultOf } from "../dmapi/calls.js";
import { DmError } from "../dmapi/errors.js";
import { CommandFailure, messageOf } from "./failure.js";

export interface NodeOptions {
  readonly socket?: string;
  readonly json?: boolean;
}
export type NodeConnection = Connection;

/** The options that every command to a node has. */
export function withNode(command: Command): Command {
  return command.option("--socket <path>", "the node's socket (default: SLUICE_SOCKET, else the only node here)").option("--json", "print JSON, one object per line");
}

/** Connects, acts, disconnects. */
export async function onNode<T>(options: NodeOptions, act: (node: NodeConnection) => Promise<T>): Promise<T> {
  const node = await openNode(options.socket);
  try {
    return await act(node);
  } finally {
    node.close();
  }
}

export async function openNode(named?: string): Promise<NodeConnection> {
  const socket = findSocket(named);
  try {
    return await connect({ socket });
  } catch (error) {
    const next = error instanceof DmError && error.code === "EACCES" ? "Ask as root" : "Is its daemon running? For a local cluster: sluice cluster status --dir DIR";
    throw new CommandFailure({ asked: `reach the node at ${socket}`, found: messageOf(error), next }, { cause: error });
  }
}

/** One call over a connection of its own, bounded. */
export async function callOnce<N extends CallName>(socket: string, name: N, args: ArgsOf<N>, timeoutMs: number): Promise<ResultOf<N>> {
  let timer: NodeJS.Timeout | undefined;
  let node: NodeConnection | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      node?.close();
      reject(new DmError("ETIMEDOUT", name, `no answer from ${socket} within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  const work = (async () => {
    node = await connect({ socket });
    return node.call(name, args);
  })();
  work.catch(() => {}); // told by the race
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    node?.close();
  }
}

/** Of an option or argument. */
export function wholeNumber(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new CommandFailure({ asked: `read the number "${text}"`, found: "it is not a whole number", next: "Write it in digits" });
}
