/**
 * The same node without FUSE: file systems are attached and announced, so that dispositions, rights and rounds work and
 * applications use files through their handles; nobody sees a mount, no user's operation is admitted here.
 *
 * Source    blueprint section 6 ("No FUSE?").
 */
import type { MountMaker } from "./file-systems.js";

/** With no user inside there is never anything to stop or to drain. */
export const mountInProcess: MountMaker = async ({ hear }) => ({
  mountpoint: undefined,
  minor: undefined,
  tick: () => 0,
  unmount: async () => undefined,
  post(message) {
    if (message.kind === "fence-raised") hear({ kind: "fence-drained", handle: message.handle, fenceNumber: message.fenceNumber });
    else if (message.kind === "round") hear({ kind: "round-drained", round: message.round, from: message.from });
    else if (message.kind === "report") hear({ kind: "reported", id: message.id, waiters: [], counters: {} });
    else if (message.kind === "report-locks") hear({ kind: "locks-reported", id: message.id, report: { life: "", owners: [] } });
  },
});
