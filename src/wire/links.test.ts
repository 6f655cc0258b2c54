/** Links between nodes: order, identity, faults, and strangers' bytes; waits are on events, with a bound. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { afterEach, test } from "node:test";
import { parseVersions } from "../base/version-range.js";
import type { Frame } from "../cluster/messages.js";
import type { Incarnation, NodeId } from "../dmapi/ids.js";
import { Links, splitAddress } from "./links.js";
import { decodeLinkMessage, encodeLinkMessage, NODE_FRAME_LENGTH_MAX } from "./node-frames.js";
import { FrameError, FrameSplitter, LENGTH_BYTES } from "./application-frames.js";

const key = randomBytes(32);
const open: Links[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((links) => links.close()));
});

class Peer {
  readonly seen: string[] = [];
  readonly frames: Frame[] = [];
  readonly lines: string[] = [];
  readonly links: Links;
  #wake: (() => void)[] = [];
  private constructor(make: (peer: Peer) => Links) {
    this.links = make(this);
  }
  static async start(node: string, options: { key?: Uint8Array; incarnation?: number; cluster?: string; address?: string; versions?: string } = {}): Promise<Peer> {
    const holder: { peer?: Peer } = {};
    const note = (act: (peer: Peer) => void) => {
      if (holder.peer === undefined) return;
      act(holder.peer);
      for (const wake of holder.peer.#wake.splice(0)) wake();
    };
    const links = await Links.open(
      {
        cluster: options.cluster ?? "c", node: node as NodeId, incarnation: (options.incarnation ?? 1) as Incarnation,
        key: options.key ?? key, address: options.address ?? "127.0.0.1:0", pingMs: 20, silenceMs: 200,
        ...(options.versions !== undefined && { versions: parseVersions(options.versions)! }),
      },
      {
        up: (peer, incarnation) => note((me) => me.seen.push(`up ${peer} ${incarnation}`)),
        down: (peer) => note((me) => me.seen.push(`down ${peer}`)),
        frame: (frame) => note((me) => me.frames.push(frame)),
        log: (line) => note((me) => me.lines.push(line)),
      },
    );
    open.push(links);
    holder.peer = new Peer(() => links);
    return holder.peer;
  }
  async until(holds: () => boolean, what: string): Promise<void> {
    const giveUp = AbortSignal.timeout(10_000);
    while (!holds()) {
      assert.ok(!giveUp.aborted, `${what}; saw ${JSON.stringify([this.seen, this.lines])}`);
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        setTimeout(resolve, 50);
      });
    }
  }
}
function frame(from: string, sequence: number): Frame {
  return {
    from: from as NodeId, fromIncarnation: 1 as Incarnation, toIncarnation: 1 as Incarnation, view: 3, sequence, acknowledged: 0,
    body: { kind: "greeting", incarnation: 1 as Incarnation },
  };
}

test("frames arrive in order, and each direction is its own connection", async () => {
  const a = await Peer.start("a");
  const b = await Peer.start("b", { incarnation: 7 });
  a.links.want("b" as NodeId, b.links.address);
  await a.until(() => a.seen.includes("up b 7"), "a reaches b");
  assert.deepEqual(b.seen, []);
  for (let i = 0; i < 500; i++) a.links.transmit("b" as NodeId, frame("a", i));
  await b.until(() => b.frames.length === 500, "500 frames");
  assert.deepEqual(b.frames.map(({ sequence }) => sequence), Array.from({ length: 500 }, (_, i) => i));
  b.links.transmit("a" as NodeId, frame("b", 0)); // not wanted: dropped, no harm
  b.links.want("a" as NodeId, a.links.address);
  await b.until(() => b.seen.includes("up a 1"), "b reaches a");
});

test("a peer that ends is told, and found again when it is back as another incarnation", async () => {
  const a = await Peer.start("a");
  const b = await Peer.start("b");
  const { address } = b.links;
  a.links.want("b" as NodeId, address);
  await a.until(() => a.seen.includes("up b 1"), "up");
  await b.links.close();
  await a.until(() => a.seen.includes("down b"), "down");
  await Peer.start("b", { incarnation: 2, address });
  await a.until(() => a.seen.includes("up b 2"), "up again");
});

test("a renewed node ends its connections and is met as its new incarnation", async () => {
  const a = await Peer.start("a");
  const b = await Peer.start("b");
  a.links.want("b" as NodeId, b.links.address);
  await a.until(() => a.seen.includes("up b 1"), "up");
  b.links.renew(5 as Incarnation);
  await a.until(() => a.seen.includes("up b 5"), "up as 5");
});

for (const direction of ["both", "send", "receive"] as const) {
  test(`a link cut (${direction}) goes down by silence and comes back when healed`, async () => {
    const a = await Peer.start("a");
    const b = await Peer.start("b");
    a.links.want("b" as NodeId, b.links.address);
    await a.until(() => a.seen.includes("up b 1"), "up");
    a.links.cut("b" as NodeId, direction);
    assert.deepEqual(a.links.status(), [{ peer: "b", isUp: true, isCut: true, version: 1 }]);
    await a.until(() => a.seen.includes("down b"), "down");
    a.links.transmit("b" as NodeId, frame("a", 1));
    a.links.heal();
    await a.until(() => a.seen.filter((what) => what === "up b 1").length === 2, "up again");
    a.links.transmit("b" as NodeId, frame("a", 2));
    await b.until(() => b.frames.length > 0, "a frame after the cut");
    assert.deepEqual(b.frames.map(({ sequence }) => sequence), [2]);
  });
}

test("a slow link delivers late and in order; healed, what had not left yet is lost with the connection", async () => {
  const a = await Peer.start("a");
  const b = await Peer.start("b");
  a.links.want("b" as NodeId, b.links.address);
  await a.until(() => a.seen.includes("up b 1"), "up");
  a.links.slow("b" as NodeId, 200);
  assert.deepEqual(a.links.status(), [{ peer: "b", isUp: true, isCut: false, delayMs: 200, version: 1 }]);
  const beganMs = performance.now();
  for (const sequence of [1, 2, 3]) a.links.transmit("b" as NodeId, frame("a", sequence));
  await b.until(() => b.frames.length === 3, "three frames");
  assert.ok(performance.now() - beganMs >= 199, `${performance.now() - beganMs} ms`);
  a.links.slow("b" as NodeId, 30_000);
  await a.until(() => a.seen.filter((what) => what === "up b 1").length === 2, "up again");
  a.links.transmit("b" as NodeId, frame("a", 4));
  a.links.heal();
  await a.until(() => a.seen.filter((what) => what === "up b 1").length === 3, "up again");
  a.links.transmit("b" as NodeId, frame("a", 5));
  await b.until(() => b.frames.length === 4, "a frame after it");
  assert.deepEqual(b.frames.map(({ sequence }) => sequence), [1, 2, 3, 5]);
});

for (const [what, other, expected] of [
  ["another key", { key: randomBytes(32) }, /does not know the cluster's key/],
  ["another cluster", { cluster: "other" }, /this is cluster other/],
] as const) {
  test(`a node with ${what} is turned away with a reason`, async () => {
    const a = await Peer.start("a");
    const b = await Peer.start("b", other);
    a.links.want("b" as NodeId, b.links.address);
    await a.until(() => a.lines.some((line) => expected.test(line)), "the reason");
    await b.until(() => b.lines.some((line) => line.includes("closed: refused")), "the other side has a line too");
    assert.deepEqual([...a.seen, ...b.frames], []);
    a.links.unwant("b" as NodeId);
    const good = await Peer.start("g", other);
    good.links.want("b" as NodeId, b.links.address);
    await good.until(() => good.seen.includes("up b 1"), "those who belong are served");
  });
}

for (const [mine, theirs, common] of [["1", "1", 1], ["1-2", "1", 1], ["1", "1-2", 1], ["1-2", "1-2", 2], ["2-3", "1-2", 2]] as const) {
  test(`nodes that speak ${mine} and ${theirs} use version ${common}`, async () => {
    const a = await Peer.start("a", { versions: mine });
    const b = await Peer.start("b", { versions: theirs });
    a.links.want("b" as NodeId, b.links.address);
    await a.until(() => a.seen.includes("up b 1"), "up");
    assert.deepEqual(a.links.status(), [{ peer: "b", isUp: true, isCut: false, version: common }]);
  });
}
for (const [mine, theirs] of [["1-2", "3-4"], ["3-4", "1-2"], ["1", "2"]] as const) {
  test(`nodes that speak ${mine} and ${theirs} refuse each other; both say what each speaks and what to do`, async () => {
    const a = await Peer.start("a", { versions: mine });
    const b = await Peer.start("b", { versions: theirs });
    a.links.want("b" as NodeId, b.links.address);
    const isTold = (line: string) =>
      line.includes("refused:") && new RegExp(`a speaks (versions )?${mine}\\b`).test(line.replaceAll(" of the protocol", "")) &&
      new RegExp(`b speaks (versions )?${theirs}\\b`).test(line.replaceAll(" of the protocol", "")) && /Upgrade [ab] .* or bring [ab] back/.test(line);
    await a.until(() => a.lines.some(isTold), "the dialer's line");
    await b.until(() => b.lines.some(isTold), "the acceptor's line");
    await a.until(() => a.links.status()[0]?.trouble !== undefined, "and its status says why");
    assert.deepEqual([...a.seen, ...b.frames], []);
  });
}

test("another node at the address is not mistaken for the peer", async () => {
  const a = await Peer.start("a");
  const c = await Peer.start("c");
  a.links.want("b" as NodeId, c.links.address);
  await a.until(() => a.lines.some((line) => /this is node c, not b/.test(line)), "the reason");
});

async function stranger(address: string, bytes: Buffer, thenEnd = false): Promise<void> {
  const socket = connect(splitAddress(address));
  socket.on("error", () => {});
  socket.resume();
  socket.write(bytes);
  if (thenEnd) socket.end();
  await new Promise((resolve) => socket.once("close", resolve));
}

test("garbage, huge lengths, truncated and unexpected frames close the connection with a line; the node lives", async () => {
  const b = await Peer.start("b");
  const huge = Buffer.alloc(4);
  huge.writeUInt32BE(NODE_FRAME_LENGTH_MAX, 0);
  await stranger(b.links.address, huge);
  await stranger(b.links.address, Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  await stranger(b.links.address, Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.from([0xc1])]));
  await stranger(b.links.address, encodeLinkMessage({ kind: "ping", count: 1 }));
  await stranger(b.links.address, encodeLinkMessage({ kind: "frame", frame: frame("a", 1) }));
  await stranger(b.links.address, encodeLinkMessage({ kind: "ping", count: 1 }).subarray(0, 6), true);
  await stranger(b.links.address, randomBytes(4096));
  await b.until(() => b.lines.filter((line) => line.includes("closed:")).length === 7, "seven lines");
  assert.deepEqual(b.frames, []);
  const a = await Peer.start("a");
  a.links.want("b" as NodeId, b.links.address);
  await a.until(() => a.seen.includes("up b 1"), "still serving");
});

test("a connection that says nothing is ended", async () => {
  const b = await Peer.start("b");
  await stranger(b.links.address, Buffer.alloc(0));
  assert.ok(b.lines.some((line) => /no handshake/.test(line)));
});

test("messages: one byte at a time, and every prefix is awaited or refused", () => {
  const bytes = encodeLinkMessage({ kind: "frame", frame: { ...frame("a", 4), view: 2 ** 40 } });
  const splitter = new FrameSplitter();
  const bodies = [...bytes].flatMap((byte) => splitter.push(Buffer.from([byte])));
  assert.deepEqual(bodies.map(decodeLinkMessage), [{ kind: "frame", frame: { ...frame("a", 4), view: 2 ** 40 } }]);
  for (let length = 0; length < bytes.length - LENGTH_BYTES; length++) {
    assert.throws(() => decodeLinkMessage(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length)), FrameError);
  }
  for (const wrong of [{}, [], "x", { kind: "frame" }, { kind: "frame", frame: { from: 1 } }, { kind: "hello" }, { kind: { toString: 1 } }, { kind: "pong", count: -1 }]) {
    const body = encodeLinkMessage(wrong as never).subarray(LENGTH_BYTES);
    assert.throws(() => decodeLinkMessage(body), FrameError);
  }
});
