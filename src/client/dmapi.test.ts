/** The literal names: all 67 of the standard are there, those not served say so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as dmapi from "./dmapi.js";
import { connect } from "./index.js";
import { scriptedDaemon } from "./scripted-daemon.test-suite.js";

const names = `init_service create_session destroy_session getall_sessions query_session getall_tokens find_eventmsg get_events respond_event
pending move_event send_msg create_userevent path_to_handle path_to_fshandle fd_to_handle handle_to_fshandle handle_to_path handle_cmp handle_free
handle_hash handle_is_valid handle_to_fsid handle_to_igen handle_to_ino make_handle make_fshandle request_right release_right query_right upgrade_right
downgrade_right obj_ref_hold obj_ref_rele obj_ref_query set_disp getall_disp set_eventlist get_eventlist set_return_on_destroy get_mountinfo set_region
get_region get_allocinfo probe_hole punch_hole read_invis write_invis sync_by_handle get_fileattr set_fileattr init_attrloc get_dirattrs get_bulkattr
get_bulkall get_dmattr getall_dmattr set_dmattr remove_dmattr set_inherit clear_inherit getall_inherit create_by_handle mkdir_by_handle symlink_by_handle
get_config get_config_events`.split(/\s+/);

test("every function of the standard has its name", () => {
  assert.equal(names.length, 67);
  const absent = names.filter((name) => typeof (dmapi as Record<string, unknown>)[`dm_${name}`] !== "function");
  assert.deepEqual(absent, []);
});

test("what is not served fails with ENOSYS, what comes before dm_init_service with ENOTREADY", async () => {
  await assert.rejects(dmapi.dm_pending(1, 2), { code: "ENOSYS" });
  await assert.rejects(dmapi.dm_getall_sessions(), { code: "ENOTREADY" });
  await assert.rejects(dmapi.dm_create_session(0, "x".repeat(256)), { code: "E2BIG" });
});

test("handles compare, hash and are judged by form", async () => {
  const fs = "0011223344556677ffffffff0123456789abcdef" as Parameters<typeof dmapi.dm_handle_hash>[0];
  assert.equal(dmapi.dm_handle_is_valid(fs), true);
  assert.equal(dmapi.dm_handle_is_valid("zz" as typeof fs), false);
  assert.equal(dmapi.dm_handle_is_valid(dmapi.DM_GLOBAL_HAN), true);
  assert.equal(dmapi.dm_handle_cmp(fs, fs), 0);
  assert.notEqual(dmapi.dm_handle_cmp(fs, dmapi.DM_GLOBAL_HAN), 0);
  assert.equal(dmapi.dm_handle_to_fsid(fs), "0011223344556677");
  assert.equal(await dmapi.dm_get_config(fs, "DM_CONFIG_MAX_MESSAGE_DATA"), 4096);
  await assert.rejects(dmapi.dm_get_config(dmapi.DM_GLOBAL_HAN, "DM_CONFIG_PENDING"), { code: "EBADF" });
});

/** A daemon with durable events 1, 2, 3 of node C, given one at a time. */
async function durableDaemon() {
  let sequence = 0;
  return scriptedDaemon((frame) => {
    if (frame.kind === "call" && frame.name === "session.list") return "hang-up";
    if (frame.kind === "abandon" || frame.name !== "event.get") return frame.kind === "call" && frame.name === "session.create" ? { result: { session: 3 } } : { result: {} };
    sequence++;
    return { result: [{ session: 3, fs: "fs1", source: "C", sequence, id: `${sequence}.1.C`, event: { type: "postcreate", handle1: "ab", name1: "new" } }] };
  });
}

test("dm_get_events: what was got of a durable session is acknowledged by the next call, and before the session is destroyed", async () => {
  const { socket, seen } = await durableDaemon();
  await dmapi.dm_init_service({ socket });
  const sid = await dmapi.dm_create_session(0, "auditor");
  await dmapi.dm_get_events(sid, 1, 0);
  await dmapi.dm_get_events(sid, 1, 0);
  await dmapi.dm_destroy_session(sid);
  await assert.rejects(dmapi.dm_getall_sessions()); // the daemon hangs up
  const calls = seen.flatMap((frame) => (frame.kind === "call" && /^session\.[cd]|^event/.test(frame.name) ? [frame] : []));
  assert.deepEqual(calls.map(({ name }) => name), ["session.create", "event.get", "event.acknowledge", "event.get", "event.acknowledge", "session.destroy"]);
  assert.deepEqual(calls.filter(({ name }) => name === "event.acknowledge").map(({ args }) => (args as { ids: string[] }).ids), [["1.1.C"], ["2.1.C"]]);
});

test("the SDK creates durable sessions and acknowledges an event, or all up to it", async () => {
  const { socket, seen } = await durableDaemon();
  using connection = await connect({ socket });
  const session = await connection.createSession("auditor", { isDurable: true });
  const [event] = await session.getEvents();
  assert.equal(event!.id, "1.1.C");
  await event!.acknowledge();
  await event!.acknowledge({ isUpTo: true });
  const calls = seen.flatMap((frame) => (frame.kind === "call" && frame.name !== "session.renew" ? [frame.args] : []));
  assert.deepEqual(calls.filter((args) => (args as { isDurable?: boolean }).isDurable === true).length, 1);
  assert.deepEqual(calls.slice(2), [{ session: 3, ids: ["1.1.C"] }, { session: 3, ids: ["1.1.C"], isUpTo: true }]);
});
