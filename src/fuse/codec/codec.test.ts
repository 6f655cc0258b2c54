import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, writeInitReply } from "./init.js";
import { expireEntry, forgetEntry, invalidateInode, storeInInode } from "./notify.js";
import { decodeDevice, encodeDevice, ReplyBuffer } from "./reply.js";
import { parseRequest, type RequestOf } from "./request.js";

/** Hexadecimal with comments after `#`, as bytes. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/#.*$/gm, "").replaceAll(/\s+/g, ""), "hex");
}
/** A whole message: the header for that opcode, the body, its length filled in. */
function message(opcode: number, body: string, extension = ""): Buffer {
  const tail = hex(extension);
  const bytes = Buffer.concat([
    hex(`
      00000000 00000000            # length, opcode: filled in below
      1122334455667788             # unique
      2a00000000000000             # node id 42
      e8030000 e9030000 d2040000   # uid 1000, gid 1001, pid 1234
      0000 0000                    # extensions, padding
    `),
    hex(body), tail,
  ]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeUInt16LE(tail.length / 8, 36);
  return bytes;
}

const cases: [name: string, bytes: Buffer, expected: Record<string, unknown>][] = [
  ["lookup", message(1, "6e616d65 00 # name"), { kind: "lookup", name: "name" }],
  ["a name is bytes", message(1, "fffe20c3a9 00"), { kind: "lookup", name: "\xff\xfe \xc3\xa9" }],
  ["forget", message(2, "0300000000000000"), { kind: "forget", forgets: [{ nodeid: 42, count: 3 }] }],
  [
    "batch forget", message(42, "02000000 00000000 0700000000000000 0100000000000000 0800000000000000 0200000000000000"),
    { kind: "forget", forgets: [{ nodeid: 7, count: 1 }, { nodeid: 8, count: 2 }] },
  ],
  ["getattr", message(3, "01000000 00000000 0900000000000000"), { kind: "getattr", flags: 1, fh: 9 }],
  [
    "setattr", message(4, `
      38000000 00000000            # valid: size, atime, mtime
      0900000000000000             # fh
      0010000000000000             # size 4096
      0000000000000000             # lock owner
      ffffffffffffffff             # atime: one second before 1970
      0200000000000000             # mtime
      0000000000000000             # ctime
      01000000 03000000 00000000   # nanoseconds of them
      ed810000 00000000            # mode
      01000000 02000000 00000000   # uid, gid`),
    { kind: "setattr", valid: 0x38, fh: 9, size: 4096, atimeNs: -999_999_999n, mtimeNs: 2_000_000_003n, mode: 0o100755, uid: 1, gid: 2 },
  ],
  ["symlink", message(6, "6c00 7400"), { kind: "symlink", name: "l", target: "t" }],
  ["mknod", message(8, "b6610000 03010000 12000000 00000000 6e00"), { kind: "mknod", mode: 0o060666, rdev: 0x103, umask: 0o22, name: "n" }],
  [
    "mkdir with the group that decides", message(9, "ff010000 12000000 6400 00000000 0000", "18000000 20000000 01000000 d2040000 0000000000000000"),
    { kind: "mkdir", mode: 0o777, umask: 0o22, name: "d", group: 1234 },
  ],
  ["unlink", message(10, "6600"), { kind: "unlink", name: "f" }],
  ["rename", message(12, "0700000000000000 6100 6200"), { kind: "rename", newDirectory: 7, flags: 0, name: "a", newName: "b" }],
  ["rename2", message(45, "0700000000000000 02000000 00000000 6100 6200"), { kind: "rename", newDirectory: 7, flags: 2, name: "a", newName: "b" }],
  ["link", message(13, "0900000000000000 6e00"), { kind: "link", target: 9, name: "n" }],
  ["open", message(14, "02800000 01000000"), { kind: "open", flags: 0x8002, openFlags: 1 }],
  [
    "read", message(15, "0500000000000000 0500000000000000 64000000 02000000 0000000000000000 00800000 00000000"),
    { kind: "read", fh: 5, offset: 5, size: 100, readFlags: 2, flags: 0x8000 },
  ],
  [
    "write", message(16, "0500000000000000 0000000001000000 03000000 04000000 0000000000000000 01840000 00000000 616263"),
    { kind: "write", fh: 5, offset: 0x1_0000_0000, writeFlags: 4, flags: 0x8401, data: Buffer.from("abc") },
  ],
  ["release", message(18, "0500000000000000 00800000 02000000 7766554433221100"), { kind: "release", fh: 5, flags: 0x8000, releaseFlags: 2, owner: 0x0011223344556677n }],
  ["setxattr", message(21, "02000000 01000000 00000000 00000000 757365722e6b 00 7676"), { kind: "setxattr", flags: 1, extraFlags: 0, name: "user.k", value: Buffer.from("vv") }],
  ["getxattr", message(22, "00010000 00000000 6b00"), { kind: "getxattr", size: 256, name: "k" }],
  ["create", message(35, "41800000 b6010000 12000000 00000000 6e00"), { kind: "create", flags: 0x8041, mode: 0o666, umask: 0o22, openFlags: 0, name: "n" }],
  [
    "setlkw", message(33, "0500000000000000 8877665544332211 0a00000000000000 ffffffffffffff7f 01000000 d2040000 01000000 00000000"),
    { kind: "setlkw", fh: 5, owner: 0x1122334455667788n, lock: { start: 10n, end: 0x7fff_ffff_ffff_ffffn, type: 1, pid: 1234 }, flags: 1 },
  ],
  ["interrupt", message(36, "1122334455667788"), { kind: "interrupt", target: 0x8877665544332211n }],
  ["fallocate", message(43, "0500000000000000 0010000000000000 0020000000000000 03000000 00000000"), { kind: "fallocate", fh: 5, offset: 4096, length: 8192, mode: 3 }],
  ["lseek", message(46, "0500000000000000 0010000000000000 03000000 00000000"), { kind: "lseek", fh: 5, offset: 4096, whence: 3 }],
  [
    "copy_file_range_64", message(53, `0500000000000000 0000000000000000 0800000000000000 0600000000000000 0010000000000000 ffffffffffffff7f 0000000000000000`),
    { kind: "copyFileRange", fh: 5, offset: 0, nodeidOut: 8, fhOut: 6, offsetOut: 4096, length: 0x4000_0000, is64: true },
  ],
  ["readdirplus", message(44, "0500000000000000 efcdab8967452301 00100000 00000000 0000000000000000 00000000 00000000"), { kind: "readdirplus", fh: 5, offset: 0x0123456789abcdefn, size: 4096 }],
  ["statx", message(52, "00000000 00000000 0500000000000000 00000000 ff0f0000"), { kind: "statx", flags: 0, fh: 5, mask: 0xfff }],
  ["an opcode of the future", message(99, "0000000000000000"), { kind: "unknown" }],
];

for (const [name, bytes, expected] of cases) {
  test(`${name} is understood`, () => {
    const request = parseRequest(bytes, bytes.length);
    assert.ok(request !== undefined);
    const { header, ...body } = request;
    assert.deepEqual(body, expected);
    assert.deepEqual(
      { unique: header.unique, nodeid: header.nodeid, uid: header.uid, gid: header.gid, pid: header.pid },
      { unique: 0x8877665544332211n, nodeid: 42, uid: 1000, gid: 1001, pid: 1234 },
    );
  });

  test(`every prefix of ${name} is refused, never misread`, () => {
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(parseRequest(bytes, length), undefined, "a length that does not agree");
      const cut = Buffer.from(bytes.subarray(0, length));
      if (length < 40) continue;
      cut.writeUInt32LE(length, 0);
      const request = parseRequest(cut, length);
      assert.ok(request !== undefined);
      // What the kernel leaves off at the end of fixed structures is padding: then the meaning is the whole one's.
      if (request.kind !== "malformed") assert.deepEqual({ ...request, header: 0 }, { ...expected, header: 0 });
    }
  });
}

test("numbers beyond 2^53 are refused, not rounded", () => {
  const errnoOf = (opcode: number, body: string) => {
    const bytes = message(opcode, body);
    const request = parseRequest(bytes, bytes.length);
    return request?.kind === "malformed" ? request.errno : request;
  };
  assert.equal(errnoOf(15, "0000000000002000 0000000000000000 64000000 02000000 0000000000000000 00800000 00000000"), 75, "no handle of ours");
  assert.equal(errnoOf(16, "0500000000000000 0000000000002000 01000000 00000000 0000000000000000 00000000 00000000 78"), 27, "a write there is beyond the largest file");
  assert.equal(errnoOf(46, "0500000000000000 ffffffffffffffff 03000000 00000000"), 6, "no data is there");
});

test("a read beyond 2^53 is one at the largest offset: nothing is there", () => {
  const bytes = message(15, "0500000000000000 0000000000002000 64000000 02000000 0000000000000000 00800000 00000000");
  const request = parseRequest(bytes, bytes.length);
  assert.equal(request?.kind === "read" && request.offset, Number.MAX_SAFE_INTEGER);
});

test("attributes copy a 64-bit inode number as bytes, and show the record's size and times", () => {
  const statx = Buffer.alloc(256);
  statx.writeBigUInt64LE(0xfedcba9876543210n, 32);
  statx.writeBigUInt64LE(5n, 40);
  statx.writeBigInt64LE(-7n, 112);
  statx.writeUInt32LE(9, 120);
  statx.writeUInt16LE(0o100644, 28);
  const reply = new ReplyBuffer().begin(1n).attributeReply(statx, undefined, 0).finish();
  assert.equal(reply.length, 16 + 16 + 88);
  assert.equal(reply.readBigUInt64LE(32), 0xfedcba9876543210n);
  assert.equal(reply.readBigUInt64LE(40), 5n);
  assert.deepEqual([reply.readBigInt64LE(64), reply.readUInt32LE(84)], [-7n, 9]);
  assert.equal(reply.readUInt32LE(92), 0o100644);
  const shown = new ReplyBuffer().begin(1n).attributeReply(statx, { size: 2 ** 40, atimeNs: 1n, mtimeNs: -1n, ctimeNs: 3_000_000_004n }, 3_250.5).finish();
  assert.deepEqual([shown.readBigUInt64LE(16), shown.readUInt32LE(24)], [3n, 250_000_000], "kept for 3.25 s");
  assert.equal(shown.readBigUInt64LE(40), 2n ** 40n);
  assert.deepEqual([shown.readBigInt64LE(64), shown.readUInt32LE(84)], [-1n, 999_999_999]);
  assert.deepEqual([shown.readBigInt64LE(72), shown.readUInt32LE(88)], [3n, 4]);
});

test("directory entries are padded to eight bytes and fit the size that was announced", () => {
  const reply = new ReplyBuffer().begin(1n);
  reply.directoryEntry({ ino: 1n, next: 2n, type: 8, name: "\xffname" });
  assert.equal(reply.length - 16, ReplyBuffer.entryLength("\xffname", false));
  assert.equal(reply.finish().subarray(16).toString("hex"), hex(`
    0100000000000000 0200000000000000   # inode number, cookie
    05000000 08000000                   # length of the name, type
    ff6e616d65 000000                   # name, padding
  `).toString("hex"));
});

test("device numbers as the kernel encodes them", () => {
  for (const [major, minor] of [[1, 3], [8, 17], [259, 70000], [4095, 1048575]] as const) assert.deepEqual(decodeDevice(encodeDevice(major, minor)), { major, minor });
  assert.equal(encodeDevice(1, 3), 0x103);
});

test("notifications as the kernel reads them", () => {
  assert.equal(invalidateInode(42, -1, 0).toString("hex"), hex(`
    28000000 02000000 0000000000000000                       # length, INVAL_INODE, unique 0
    2a00000000000000 ffffffffffffffff 0000000000000000       # node id, offset -1: attributes only, length`).toString("hex"));
  assert.equal(expireEntry(7, "ab").toString("hex"), hex(`
    23000000 03000000 0000000000000000
    0700000000000000 02000000 01000000 616200                # parent, length, EXPIRE_ONLY, name`).toString("hex"));
  assert.equal(storeInInode(42, 4096, Buffer.from("ab")).toString("hex"), hex(`
    2a000000 04000000 0000000000000000                       # length, STORE, unique 0
    2a00000000000000 0010000000000000 02000000 00000000 6162 # node id, offset, size, padding, bytes`).toString("hex"));
  assert.equal(forgetEntry(7, "ab").toString("hex"), hex(`
    23000000 03000000 0000000000000000
    0700000000000000 02000000 00000000 616200                # no flags`).toString("hex"));
});

test("INIT: what is never taken is not taken, and an old kernel is told why", () => {
  const init = { kind: "init", major: 7, minor: 45, maxReadahead: 131072, flags: 0x73fffffb, flags2: 0x5fd, header: { unique: 2n } } as unknown as RequestOf<"init">;
  const agreed = agree(init);
  assert.ok(!("refusal" in agreed));
  assert.equal(agreed.flags & (1 << 0), 0, "ASYNC_READ");
  assert.equal(agreed.flags & (1 << 16), 0, "WRITEBACK_CACHE");
  assert.equal(agreed.flags2 & (1 << 5), 0, "PASSTHROUGH");
  assert.equal(agreed.flags2 & (1 << 10), 0, "REQUEST_TIMEOUT");
  const reply = writeInitReply(new ReplyBuffer(), init, agreed);
  assert.equal(reply.length, 16 + 64);
  assert.equal(reply.readUInt32LE(16 + 12) & 0x10000, 0, "no writeback cache, though it is offered");
  assert.equal(reply.readUInt16LE(16 + 40), 0, "no request time-out");
  assert.match(JSON.stringify(agree({ ...init, minor: 20 } as RequestOf<"init">)), /7\.20/);
});
