/**
 * The application of the event benchmark: takes the read events of a file system and answers each at once.
 *
 * Usage: responder.js SOCKET FS PATH; prints "ready" when the file at PATH (below this node's mount) has its region.
 */
import { connect, regionFlags } from "../client/index.js";

const [socket = "", fsName = "", path = ""] = process.argv.slice(2);
const connection = await connect({ socket });
const session = await connection.createSession("event benchmark");
await session.setDisposition(fsName, ["read"]);
const fs = await connection.fileSystem(fsName);
await session.object(fs.handleOf(path)).setRegions([{ offset: 0, size: 0, flags: regionFlags.read }]);
process.stdout.write("ready\n");
for await (const event of session.events({ isAhead: true })) if (event.type === "read") await event.continue();
