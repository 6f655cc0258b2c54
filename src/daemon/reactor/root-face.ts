/**
 * The root of the mount as users see it. The backing's own root stays private (mode 0700, owner root: safety H15), so what
 * users see and set of owner and mode stands apart, in an attribute of that root which all nodes read.
 *
 * Units     the attribute's value is "mode:uid:gid", the mode in octal.
 */
import { attributeBits } from "../../fuse/codec/constants.js";
import type { RequestOf } from "../../fuse/codec/request.js";
import { errno } from "../../os/errno.js";
import { fileTypes } from "../../os/stat.js";
import type { ReactorCore } from "./core.js";
import { type Inode, ROOT } from "./inode-table.js";
import type { Steps } from "./task.js";

const FACE_ATTRIBUTE = "trusted.sluice.root";
const FACE_LENGTH_MAX = 64;
/** As mkfs would make a root. */
const initial = { mode: 0o755, uid: 0, gid: 0 };
const SET_GID = 0o2000;
const MODE_AT = 28;
const UID_AT = 20;
const GID_AT = 24;

type Face = typeof initial;

export function isRoot(inode: Inode): boolean {
  return inode.nodeid === ROOT;
}

/** The attributes to show: of the root with its face, of all else as they are. */
export function* shownStatx(core: ReactorCore, inode: Inode, statx: Uint8Array): Steps<Uint8Array> {
  if (!isRoot(inode)) return statx;
  const bytes = Buffer.from(statx);
  const face = yield* readFace(core);
  bytes.writeUInt16LE(fileTypes.directory | face.mode, MODE_AT);
  bytes.writeUInt32LE(face.uid, UID_AT);
  bytes.writeUInt32LE(face.gid, GID_AT);
  return bytes;
}

/** chmod and chown of the root change its face. New objects in the root do not inherit a group, so set-gid is refused. */
export function* changeFace(core: ReactorCore, request: RequestOf<"setattr">): Steps<number> {
  const has = (bit: number) => (request.valid & bit) !== 0;
  const old = yield* readFace(core);
  const mode = has(attributeBits.mode) ? request.mode & 0o7777 : old.mode;
  if ((mode & SET_GID) !== 0) return -errno.EOPNOTSUPP;
  const uid = has(attributeBits.uid) ? request.uid : old.uid;
  const gid = has(attributeBits.gid) ? request.gid : old.gid;
  return yield* core.call("setAttribute", core.rootFd, FACE_ATTRIBUTE, Buffer.from(`${mode.toString(8)}:${uid}:${gid}`), 0, false);
}

function* readFace(core: ReactorCore): Steps<Face> {
  const value = yield* core.call("getAttributeInMemory", core.rootFd, FACE_ATTRIBUTE, FACE_LENGTH_MAX);
  if (typeof value === "number") return initial; // none was ever set
  const match = /^([0-7]{1,4}):(\d{1,10}):(\d{1,10})/.exec(Buffer.from(value).toString("latin1"));
  if (match === null) return { mode: 0o700, uid: 0, gid: 0 }; // damaged: closed rather than open
  return { mode: Number.parseInt(match[1]!, 8), uid: Number(match[2]), gid: Number(match[3]) };
}
