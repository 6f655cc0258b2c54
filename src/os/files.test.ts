import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { capabilities, ThreadIdentity } from "./identity.js";
import { clearEvent, eventfd, PollSet, POLLIN, read, signalEvent, writePair } from "./device.js";
import { DirectoryEntries, seekDirectory } from "./directory.js";
import { peerCredentials, receiveDescriptors, sendDescriptors, socketPair } from "./descriptors.js";
import { errno, errnoName } from "./errno.js";
import { getLock, LockRequest, setLock } from "./locks.js";
import { FileStat, FileSystemStat } from "./stat.js";
import { setIoFlusher, threadId, pidfdOpen } from "./process.js";
import * as files from "./files.js";

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : "needs root";
const top = mkdtempSync("/tmp/sluice-test-os-");
after(() => rmSync(top, { recursive: true, force: true }));
const opened = (path: string, flags: number = files.open.readWrite | files.open.create) => {
  const fd = files.openAt(files.AT_FDCWD, path, flags, 0o600);
  assert.ok(fd >= 0, `${path}: ${errnoName(fd)}`);
  return fd;
};

test("a failed call gives the negative errno, with text and with bytes", () => {
  assert.equal(files.openAt(files.AT_FDCWD, join(top, "none"), 0), -errno.ENOENT);
  assert.equal(files.openAt(files.AT_FDCWD, Buffer.from(`${top}/none\0`), 0), -errno.ENOENT);
  assert.equal(files.close(-1), -errno.EBADF);
});

test("reads, writes and appends go where they are told", () => {
  const fd = opened(join(top, "data"));
  const buffer = Buffer.from("xxhello");
  assert.equal(files.pwrite(fd, buffer, 2, 5, 10), 5);
  assert.equal(files.pwritev2(fd, buffer, 2, 5, 0, files.RWF_APPEND), 5);
  const into = Buffer.alloc(32, 0x2e);
  assert.equal(files.pread(fd, into, 1, 20, 9), 11);
  assert.equal(into.toString("latin1", 1, 12), "\0hellohello");
  const stat = new FileStat();
  assert.equal(files.fstat(fd, stat), 0);
  assert.equal(stat.size, 20);
  assert.ok(stat.isRegular);
  const raw = Buffer.alloc(8);
  stat.copyIno(raw, 0);
  assert.equal(raw.readBigUInt64LE(), stat.ino);
  assert.equal(files.copyFileRange(fd, 10, fd, 100, 5), 5);
  assert.equal(files.ftruncate(fd, 3), 0);
  assert.equal(files.fsync(fd) + files.fdatasync(fd) + files.syncfs(fd), 0);
  files.close(fd);
});

test("times keep their nanoseconds, before 1970 too", () => {
  const fd = opened(join(top, "times"));
  const stat = new FileStat();
  for (const time of [1_234_567_890_123_456_789n, -1_500_000_001n, 0n]) {
    assert.equal(files.futimens(fd, "omit", time), 0);
    files.fstat(fd, stat);
    assert.equal(stat.mtimeNs, time);
  }
  assert.equal(files.utimensAt(fd, "", 5n, "now", files.AT_EMPTY_PATH), 0);
  files.fstat(fd, stat);
  assert.equal(stat.atimeNs, 5n);
  assert.ok(stat.mtimeNs > 0n);
  files.close(fd);
});

test("a kernel handle opens the file again after a rename, and is stale after its removal", { skip }, () => {
  const path = join(top, "handled");
  writeFileSync(path, "bytes");
  const handle = files.nameToHandle(files.AT_FDCWD, path);
  assert.ok(typeof handle !== "number", "the test directory's file system has handles");
  const mount = opened(top, files.open.readOnly | files.open.directory);
  assert.equal(files.renameAt(files.AT_FDCWD, path, files.AT_FDCWD, `${path}2`, files.RENAME_NOREPLACE), 0);
  const fd = files.openByHandle(mount, handle, files.open.readOnly);
  assert.ok(fd >= 0, errnoName(fd));
  assert.deepEqual(files.nameToHandle(fd, "", files.AT_EMPTY_PATH), handle);
  assert.equal(files.unlinkAt(mount, "handled2"), 0);
  files.close(fd);
  assert.equal(files.openByHandle(mount, handle, files.open.readOnly), -errno.ESTALE);
  files.close(mount);
});

test("attributes: create, replace, list, remove; through /proc for a symbolic link", { skip }, () => {
  const fd = opened(join(top, "attributes"));
  const value = Buffer.from("value");
  assert.equal(files.fsetxattr(fd, "trusted.a", value, files.XATTR_CREATE), 0);
  assert.equal(files.fsetxattr(fd, "trusted.a", value, files.XATTR_CREATE), -errno.EEXIST);
  assert.equal(files.fsetxattr(fd, Buffer.from("user.b\0"), value, files.XATTR_REPLACE), -errno.ENODATA);
  const into = Buffer.alloc(16);
  assert.equal(files.fgetxattr(fd, "trusted.a", into), 5);
  assert.equal(files.fgetxattr(fd, "trusted.a", Buffer.alloc(0)), 5);
  assert.equal(files.fgetxattr(fd, "trusted.a", Buffer.alloc(2)), -errno.ERANGE);
  assert.equal(into.toString("latin1", 0, files.flistxattr(fd, into)), "trusted.a\0");
  assert.equal(files.fremovexattr(fd, "trusted.a"), 0);
  assert.equal(files.fgetxattr(fd, "trusted.a", into), -errno.ENODATA);
  files.close(fd);
  symlinkSync("nowhere", join(top, "link"));
  const link = opened(join(top, "link"), files.open.path | files.open.noFollow);
  assert.equal(files.setxattrOfPath(files.procPath(link), "trusted.l", value), 0);
  assert.equal(files.getxattrOfPath(files.procPath(link), "trusted.l", into), 5);
  assert.equal(into.toString("latin1", 0, files.readlinkAt(link, "", into)), "nowhere");
  files.close(link);
});

test("locks of two open files exclude each other, far beyond any file's end, and tell who is there", () => {
  const path = join(top, "locks");
  const one = opened(path);
  const two = opened(path);
  const request = new LockRequest();
  const start = 1n << 62n;
  assert.equal(setLock(one, request.fill("read", start, 1024n)), 0);
  assert.equal(setLock(two, request.fill("read", start, 1024n)), 0);
  assert.equal(setLock(two, request.fill("write", start, 1024n)), -errno.EAGAIN);
  assert.equal(getLock(two, request.fill("write", start, 1024n)), 0);
  assert.deepEqual(request.conflict, { type: "read", start, length: 1024n, pid: -1 });
  files.close(one);
  assert.equal(setLock(two, request.fill("write", start, 1024n)), 0);
  files.close(two);
});

test("holes, allocation and names", () => {
  const fd = opened(join(top, "holes"));
  const directory = opened(top, files.open.readOnly | files.open.directory);
  const block = Buffer.alloc(65536, 1);
  files.pwrite(fd, block, 0, block.length, 0);
  assert.equal(files.fallocate(fd, files.FALLOC_PUNCH_HOLE | files.FALLOC_KEEP_SIZE, 0, 32768), 0);
  assert.equal(files.lseek(fd, 0, files.SEEK_DATA), 32768);
  assert.equal(files.lseek(fd, 32768, files.SEEK_HOLE), 65536);
  assert.equal(files.lseek(fd, 65536, files.SEEK_DATA), -errno.ENXIO);
  // Since Linux 6.10 whoever opened the file may link it, before that root alone.
  const linked = files.linkAt(fd, "", directory, "holes2", files.AT_EMPTY_PATH);
  assert.ok(linked === 0 || (!isRoot && linked === -errno.ENOENT), `linkAt: ${linked}`);
  assert.equal(files.mkdirAt(directory, "sub", 0o755), 0);
  assert.equal(files.unlinkAt(directory, "sub", files.AT_REMOVEDIR), 0);
  assert.equal(files.symlinkAt("target", directory, "symbolic"), 0);
  assert.equal(files.openBeneath(directory, "symbolic", files.open.path, files.resolve.noSymlinks), -errno.ELOOP);
  assert.equal(files.openBeneath(directory, "../x", files.open.path, files.resolve.beneath), -errno.EXDEV);
  const names = new Set<string>();
  const entries = new DirectoryEntries(4096);
  let third: { name: string; cookie: bigint } | undefined;
  while (entries.fill(directory) > 0) {
    while (entries.next()) {
      names.add(entries.name.toString());
      if (names.size === 3) third = { name: entries.name.toString(), cookie: entries.cookie };
    }
  }
  assert.ok(names.has("holes") && names.has("symbolic") && names.has("."));
  assert.equal(seekDirectory(directory, third!.cookie), 0);
  assert.ok(entries.fill(directory) > 0 && entries.next());
  assert.equal(entries.name.toString(), [...names][3]);
  const volume = new FileSystemStat();
  assert.equal(files.fstatfs(fd, volume.bytes), 0);
  assert.ok(volume.blockSize > 0 && volume.blocks > 0n);
  files.close(fd);
  files.close(directory);
});

test("a descriptor and its lock travel over a socket", () => {
  const pair = socketPair();
  assert.ok(typeof pair !== "number");
  const path = join(top, "passed");
  const fd = opened(path);
  const request = new LockRequest();
  setLock(fd, request.fill("write", 0n, 1n));
  assert.equal(sendDescriptors(pair[0], Buffer.from("ticket"), [fd]), 6);
  files.close(fd);
  const into = Buffer.alloc(64);
  const received = receiveDescriptors(pair[1], into, 1000);
  assert.ok(typeof received !== "number");
  assert.equal(into.toString("latin1", 0, received.length), "ticket");
  assert.equal(received.fds.length, 1);
  const other = opened(path);
  assert.equal(setLock(other, request.fill("write", 0n, 1n)), -errno.EAGAIN);
  files.close(received.fds[0]!);
  assert.equal(setLock(other, request.fill("write", 0n, 1n)), 0);
  assert.equal(receiveDescriptors(pair[1], into, 0), -errno.ETIMEDOUT);
  const who = peerCredentials(pair[0]);
  assert.ok(typeof who !== "number" && who.pid === process.pid);
  for (const end of [...pair, other]) files.close(end);
});

test("an event wakes a poll; two pieces are one write", () => {
  const fd = eventfd();
  const poll = new PollSet([{ fd, events: POLLIN }]);
  assert.equal(poll.wait(0), 0);
  assert.equal(signalEvent(fd), 0);
  assert.equal(poll.wait(1000), 1);
  assert.equal(poll.happened(0), POLLIN);
  assert.equal(clearEvent(fd), 0);
  assert.equal(clearEvent(fd), 0);
  assert.equal(poll.wait(0), 0);
  files.close(fd);
  const pair = socketPair();
  assert.ok(typeof pair !== "number");
  assert.equal(writePair(pair[0], Buffer.from("head.."), 4, Buffer.from("..data"), 2, 4), 8);
  const into = Buffer.alloc(16);
  assert.equal(read(pair[1], into, 0, 16), 8);
  assert.equal(into.toString("latin1", 0, 8), "headdata");
  for (const end of pair) files.close(end);
});

test("a thread takes a user's identity without losing its reach, and alone", { skip }, async () => {
  const code = `
    const { workerData, parentPort } = require("node:worker_threads");
    (async () => {
      const { ThreadIdentity, capabilities } = await import(workerData.os + "/identity.js");
      const files = await import(workerData.os + "/files.js");
      const { FileStat } = await import(workerData.os + "/stat.js");
      const identity = new ThreadIdentity();
      const became = identity.become(1234, 2345, [3456]);
      const fd = files.openAt(files.AT_FDCWD, workerData.top + "/private/new", 66, 0o644);
      identity.revert();
      const stat = new FileStat();
      files.fstat(fd, stat);
      const again = files.openAt(files.AT_FDCWD, workerData.top + "/private/root", 66, 0o644);
      const root = new FileStat();
      files.fstat(again, root);
      files.close(fd); files.close(again);
      parentPort.postMessage({ became, fd, uid: stat.uid, gid: stat.gid, rootUid: root.uid, resource: (capabilities().effective >> 24n) & 1n });
    })();`;
  assert.equal(files.mkdirAt(files.AT_FDCWD, join(top, "private"), 0o700), 0);
  const worker = new Worker(code, { eval: true, workerData: { os: import.meta.dirname, top } });
  const seen = await new Promise<Record<string, unknown>>((done, fail) => {
    worker.once("message", done);
    worker.once("error", fail);
  });
  await worker.terminate();
  assert.ok((seen["fd"] as number) >= 0, "DAC_OVERRIDE is kept");
  assert.deepEqual({ ...seen, fd: 0 }, { became: 0, fd: 0, uid: 1234, gid: 2345, rootUid: 0, resource: 0n });
  const own = capabilities();
  assert.ok(typeof own !== "number" && ((own.effective >> 24n) & 1n) === ((own.permitted >> 24n) & 1n), "the main thread kept its own");
});

test("processes and threads have names of their own", () => {
  assert.equal(threadId(), process.pid);
  const fd = pidfdOpen(process.pid);
  assert.ok(fd >= 0, errnoName(fd));
  files.close(fd);
  assert.ok(typeof ThreadIdentity === "function" && typeof setIoFlusher === "function");
});
