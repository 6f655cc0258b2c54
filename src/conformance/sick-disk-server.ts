/**
 * A disk that can be made sick: serves one image file through a mount of its own, on which a loop device can lie, and lets its
 * blocks come late or not at all.
 *
 * Usage: sick-disk-server.js IMAGE MOUNTPOINT STATE. The image appears as MOUNTPOINT/image. STATE is a file with one word or
 * two, read anew for each block that is asked for: `well`, `slow MILLISECONDS`, `fail` (neither is read nor written),
 * `fail-reads`. Prints "ready" once it serves, and ends when it is unmounted.
 */
import { readFileSync } from "node:fs";
import { mountDevice, openDevice } from "../fuse/mount.js";
import { openReplyFlags, RECEIVE_BUFFER_SIZE } from "../fuse/codec/constants.js";
import { agree, writeInitReply } from "../fuse/codec/init.js";
import { isReplyless, keepNothing, ReplyBuffer } from "../fuse/codec/reply.js";
import { parseRequest, type Request } from "../fuse/codec/request.js";
import { PollSet, POLLIN, read, write } from "../os/device.js";
import { errno } from "../os/errno.js";
import * as files from "../os/files.js";
import { FileStat } from "../os/stat.js";

const [image = "", mountpoint = "", state = ""] = process.argv.slice(2);
const IMAGE = 2;
const LOOK_MS = 5;
const imageFd = files.openAt(files.AT_FDCWD, image, files.open.readWrite);
if (imageFd < 0) throw new Error(`${image} cannot be opened (errno ${-imageFd})`);
const device = openDevice();
const reply = new ReplyBuffer();
const stat = new FileStat();
/** Requests whose time has not come. */
const late: { readonly atMs: number; readonly request: Request }[] = [];
let isOver = false;

function statx(nodeid: number): Buffer {
  const result = nodeid === IMAGE ? files.fstat(imageFd, stat) : files.statAt(files.AT_FDCWD, "/", 0, stat);
  if (result < 0) throw new Error(`no attributes (errno ${-result})`);
  stat.bytes.writeBigUInt64LE(BigInt(nodeid), 32);
  return stat.bytes;
}
const send = (message: Buffer) => write(device, message, 0, message.length);
const refuse = (request: Request, code: number) => send(reply.error(request.header.unique, code));

function serve(request: Request): unknown {
  const { unique, nodeid } = request.header;
  switch (request.kind) {
    case "init": {
      const agreed = agree(request);
      if ("refusal" in agreed) throw new Error(agreed.refusal);
      return send(writeInitReply(reply, request, agreed));
    }
    case "lookup":
      return request.name === "image" ? send(reply.begin(unique).entry(IMAGE, statx(IMAGE), undefined, keepNothing).finish()) : refuse(request, errno.ENOENT);
    case "getattr":
      return send(reply.begin(unique).attributeReply(statx(nodeid), undefined, 0).finish());
    case "open":
    case "opendir":
      return send(reply.begin(unique).opened(nodeid, request.kind === "open" ? openReplyFlags.directIo : 0).finish());
    case "read": {
      const length = files.pread(imageFd, reply.begin(unique).room(request.size), 0, request.size, request.offset);
      return length < 0 ? refuse(request, -length) : send(reply.advance(length).finish());
    }
    case "write": {
      const length = files.pwrite(imageFd, Buffer.from(request.data), 0, request.data.length, request.offset);
      return length < 0 ? refuse(request, -length) : send(reply.begin(unique).u32(length).u32(0).finish());
    }
    case "fsync":
    case "flush":
    case "release":
    case "releasedir":
    case "access":
    case "destroy":
      return refuse(request, 0);
    default:
      return isReplyless(request.header.opcode) ? undefined : refuse(request, errno.ENOSYS);
  }
}
function receive(request: Request): void {
  const { kind } = request;
  if (kind !== "read" && kind !== "write") return void serve(request);
  const [word, number] = readFileSync(state, "utf8").trim().split(" ");
  if (word === "fail" || (word === "fail-reads" && kind === "read")) return void refuse(request, errno.EIO);
  if (word !== "slow") return void serve(request);
  const kept = kind === "write" ? { ...request, data: Buffer.from(request.data) } : request;
  late.push({ atMs: performance.now() + Number(number), request: kept });
}

void mountDevice({ device, source: "sick-disk", mountpoint }).then(
  () => console.log("ready"),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
const bytes = Buffer.alloc(RECEIVE_BUFFER_SIZE);
const poll = new PollSet([{ fd: device, events: POLLIN }]);

/** Everything that is there; then the loop of Node.js has its turn, for the mount command. */
function turn(): void {
  poll.wait(LOOK_MS);
  for (;;) {
    const length = read(device, bytes, 0, bytes.length);
    if (length === -errno.ENODEV) isOver = true;
    if (length < 0) break;
    const request = parseRequest(bytes, length);
    if (request !== undefined && request.kind !== "malformed") receive(request);
  }
  const now = performance.now();
  for (const due of late.filter(({ atMs }) => atMs <= now)) {
    late.splice(late.indexOf(due), 1);
    serve(due.request);
  }
  if (isOver) process.exit(0);
  setImmediate(turn);
}
turn();
