/**
 * Size and times that users see of a file that is not resident, in place of the backing's own.
 *
 * Source    safety H12.
 */
import type { VirtualStat } from "../../dmapi/record.js";
import { errno } from "../../os/errno.js";
import type { Changer, VirtualChange } from "./backing-calls.js";
import type { ReactorCore } from "./core.js";
import type { Inode } from "./inode-table.js";
import type { Steps } from "./task.js";

/** What users see of a file that is not resident in place of its own size and times (safety H12). */
function shownOf(core: ReactorCore, inode: Inode): VirtualStat | undefined {
  const record = core.admission.recordOf(core.handleOf(inode));
  return record?.residency === "partial" ? record.virtual : undefined;
}
function changedNow(): { mtimeNs: bigint; ctimeNs: bigint } {
  const now = BigInt(Date.now()) * 1_000_000n;
  return { mtimeNs: now, ctimeNs: now };
}
/** The guard is held. The new size is shown first: what cannot be shown is not done, and says so. */
export function* truncateShown(core: ReactorCore, inode: Inode, size: number, dropsFor: Changer | undefined): Steps<number> {
  const before = shownOf(core, inode);
  const shown = before === undefined ? 0 : yield* updateShown(core, inode, { size, ...changedNow() });
  if (shown < 0) return shown;
  const result = yield* core.call("truncate", core.guards.fdOf(inode), size, dropsFor);
  if (result < 0 && before !== undefined) yield* updateShown(core, inode, before);
  return result;
}
/** After bytes up to `end` have changed: `result`, or why a file that became longer would go on being shown shorter. */
export function* showGrowth(core: ReactorCore, inode: Inode, end: number, result: number): Steps<number> {
  const before = shownOf(core, inode);
  if (before === undefined) return result;
  const shown = yield* updateShown(core, inode, { end, ...changedNow() });
  return shown < 0 && end > before.size ? shown : result;
}
/** The guard is held. A failure leaves what was shown. */
export function* updateShown(core: ReactorCore, inode: Inode, change: VirtualChange): Steps<number> {
  for (;;) {
    const updated = yield* core.call("updateVirtual", core.guards.fdOf(inode), inode.own, core.metaFd, change);
    if (typeof updated !== "number") {
      core.records.known(inode, updated);
      return 0;
    }
    if (updated !== -errno.EAGAIN) {
      core.count("changes of stubs that could not be shown");
      return updated;
    }
    yield* core.sleep(1);
  }
}
