/**
 * Planted faults: each takes one safety rule away, in the real machines or in the models that stand for what surrounds them,
 * and the simulator must notice. One that it never notices shows a hole in a scene or a checker.
 *
 * An edit names a compiled file and a piece of its text, which must be there exactly once; white space does not count.
 *
 * Source    safety C1, C3-C10, H1-H15, M1-M13.
 */
export interface Edit {
  /** Below dist/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}
/** Where it ought to be missed, and what that scene had better lean on (stress.ts). */
export interface MissedByScene {
  readonly scene: "lease" | "cluster" | "data" | "joined";
  readonly stress?: string;
  readonly test?: undefined;
}
/** No scene has what the rule is about, or another rule covers it there: the test that misses it, below dist/, and which one of the file. */
export interface MissedByTest {
  readonly test: string;
  readonly only?: string;
  /** Of what the test says then: it has to fail for the reason that the fault is about. */
  readonly says: string;
  readonly scene?: undefined;
}
export type Mutant = (MissedByScene | MissedByTest) & {
  readonly name: string;
  /** What is taken away. */
  readonly rule: string;
  readonly edits: readonly Edit[];
  /** Nothing has found it so far, and why. */
  readonly open?: string;
  /** Found within few and cheap seeds: `npm test` tries it too. */
  readonly isQuick?: true;
};

const at = (file: string) => (find: string, replace: string): Edit => ({ file, find, replace });
const admission = at("cluster/admission/admission.js");
const drains = at("cluster/admission/drains.js");
const dueEvents = at("cluster/admission/due-events.js");
const managedObject = at("cluster/admission/managed-object.js");
const openModes = at("cluster/admission/open-modes.js");
const passthroughSteps = at("cluster/admission/passthrough-steps.js");
const rightsServer = at("cluster/rights/rights-server.js");
const rightsClient = at("cluster/rights/rights-client.js");
const rounds = at("cluster/rounds.js");
const soles = at("cluster/sole-mounts.js");
const keeping = at("cluster/keeping/keeping.js");
const source = at("cluster/source-node/source-node.js");
const host = at("cluster/session-node/session-node.js");
const node = at("cluster/node.js");
const member = at("cluster/registry/member.js");
const users = at("cluster/user-admission.js");
const copy = at("cluster/registry/copy.js");
const manager = at("cluster/registry/session-manager.js");
const stream = at("cluster/stream.js");
const objectCalls = at("cluster/dm-calls/object-calls.js");
const objectGate = at("cluster/dm-calls/object-gate.js");
const migrateSteps = at("migration/move/migrate-steps.js");
const recallSteps = at("migration/move/recall-steps.js");
const fileModel = at("simulator/file-model.js");
const reactor = at("simulator/reactor-model.js");
const mover = at("simulator/mover-model.js");
const volume = at("simulator/volume-model.js");
const application = at("simulator/application-model.js");
const directory = at("simulator/directory-model.js");
const core = at("daemon/reactor/core.js");
const dataOperations = at("daemon/reactor/data-operations.js");
const openOperations = at("daemon/reactor/open-operations.js");
const lockOperations = at("daemon/reactor/lock-operations.js");
const identity = at("os/identity.js");

const guards: readonly Mutant[] = [
  {
    name: "no guard", rule: "who changes bytes excludes whoever punches (C1)", scene: "data", isQuick: true,
    edits: [fileModel("this.file.guards.set(this, mode);", ""), fileModel("tryLock(mode) {", "tryLock(mode) { return true;")],
  },
  {
    name: "mark stays", rule: "the first writer breaks the mark (C3)", scene: "data", isQuick: true,
    edits: [reactor("yield* system(() => (file.mark = null), 0.3);", "")],
  },
  {
    name: "response without generation", rule: "a read looks at the generation again after its data (C4)", scene: "data", isQuick: true,
    edits: [reactor("if (now > (this.#admission.generationUnder(id, file.handle) ?? -1))", "if (now < 0)")],
  },
  {
    name: "stale descriptor", rule: "a descriptor of an older generation is opened anew (C4)", scene: "data", isQuick: true,
    edits: [reactor("const mustReopen = inode.reader === undefined || (inode.reader.generation !== inode.generation);", "const mustReopen = inode.reader === undefined;")],
  },
  {
    name: "no compare", rule: "a copy is only punched out while nothing has changed (C3)", scene: "data", isQuick: true,
    edits: [migrateSteps("if (!isUnbroken || attributes.size !== note.size || attributes.mtimeNs !== mtimeNs)", "if (false)"), mover("if (isMoved)", "if (false)"), mover("if (mark !== nonce)", "if (false)")],
  },
  {
    name: "compare by mtime alone", rule: "size and mtime do not tell that a file is unchanged, the mark does (C3)", scene: "data", stress: "records",
    edits: [
      migrateSteps("if (!isUnbroken || attributes", "if (attributes"), mover("if (mark !== nonce)", "if (false)"),
      mover("(args.expectMark !== undefined && args.expectMark !== found.mark) ||", ""),
    ],
  },
  {
    name: "no second look", rule: "a recall looks again under the guard, and writes nothing where no region is (C3)", scene: "data", stress: "migrators",
    edits: [
      mover("return yield* this.#inDaemon(this.#look(file));", "return (hold.found ??= yield* this.#inDaemon(this.#look(file)));"),
    ],
  },
  {
    name: "mark without guard", rule: "a mark is made under the exclusive guard (C3 step 1)", scene: "data", stress: "records",
    edits: [mover(`if (yield* system(() => open.tryLock("exclusive"), 0.3)) return`, "if (true) return")],
  },
  {
    name: "punch without the lock", rule: "who punches keeps the guard on its own descriptor until the last punch has returned (C1)", scene: "joined", stress: "punches",
    edits: [application("open.pass(this.process);", "open.pass(this.process); open.close(this.at.process);"), volume("if (guard.isClosed)", "if (false)")],
  },
  {
    name: "moves without guard", rule: "a move takes the guard exclusive before it looks (C1)", scene: "data",
    edits: [mover(`for (let tries = 0; !(yield* system(() => open.tryLock("exclusive"), 0.3)); tries++)`, "for (let tries = 0; false; tries++)")],
  },
  {
    name: "punch before record", rule: "the record says partial before the first byte goes (C3 steps 6 and 8)", scene: "joined", stress: "punches",
    edits: [migrateSteps(`yield* ask("change-record", "change-record", { change: migratedChange(`, `yield* ask("punch", "punch", {}); yield* ask("change-record", "change-record", { change: migratedChange(`), volume(`if (!record?.regions.some(`, "if (false && !record?.regions.some(")],
  },
  {
    name: "clear before copy", rule: "a region is cleared when the bytes are back, never before (C3)", scene: "joined", stress: "records",
    edits: [recallSteps("yield* copyIn(now, note);", `{ yield* ask("change-record", "change-record", { change: residentChange(note) }); yield* copyIn(now, note); }`)],
  },
  {
    name: "write without guard", rule: "a write runs under its node's shared guard (C1)", scene: "data", isQuick: true,
    edits: [reactor(`write: { uses: [{ handle, access: "change", needsGuard: true }]`, `write: { uses: [{ handle, access: "change", needsGuard: false }]`)],
  },
  {
    name: "record as before the guard", rule: "a writer goes by the record as read under the guard (C1)", scene: "data",
    edits: [admission("object.mustLoadAgain = false; this.#setRecord(object, found); this.#drains.advance(object); this.#filterWaiting(object);", "this.#drains.advance(object); this.#filterWaiting(object);")],
  },
  {
    name: "guard kept", rule: "the guard goes back when a fence or a changed record asks (C1)", scene: "joined",
    edits: [drains(`this.#ports.emit({ kind: "drop-guard", handle: object.handle }); } object.drains.delete(drain);`, "} object.drains.delete(drain);")],
  },
  {
    name: "written past a sync", rule: "the guard outlives every write under it, also one that another flush let through (C1)", scene: "data", stress: "workers",
    edits: [admission("if (use.needsGuard) object.guardUsed();", "")],
  },
  {
    name: "write-back into the hole", rule: "write-back of a range that is not resident recalls it first (C6)", scene: "data", stress: "mappings",
    edits: [dueEvents("if (isWriteback) { if (record.residency", "if (isWriteback) { return undefined; if (record.residency")],
  },
];

const passthrough: readonly Mutant[] = [
  {
    name: "guard after registration", rule: "the kernel is given no descriptor that has no guard on it (C2)", scene: "data", stress: "passthrough",
    edits: [
      passthroughSteps(`const guarded = yield "guard"; if (failed(guarded)) return yield* refuse(-guarded, undefined);`, ""),
      passthroughSteps(`const id = yield "register";`, `const id = yield "register"; yield "guard";`),
    ],
  },
  {
    name: "record read before the guard", rule: "what the kernel is left alone with is decided by the record as read under the guard (C2)", scene: "data", stress: "passthrough",
    edits: [
      passthroughSteps(`const guarded = yield "guard";`, `const stored = yield "record"; const guarded = yield "guard";`),
      passthroughSteps(`const stored = yield "record"; if (typeof`, "if (typeof"),
    ],
  },
  {
    name: "id closed at RELEASE", rule: "a descriptor stays registered until the kernel says that nothing uses the file (C2)", scene: "data", stress: "passthrough",
    edits: [openModes(`assert(this.#passing >= 0, "each open ends once"); if (this.#isUnopened) effects.push({ kind: "test-backing", handle: this.#handle, isAsked: false });`, `if (this.#isUnopened) { this.#backing = "none"; effects.push({ kind: "close-backing", handle: this.#handle }); }`)],
  },
  {
    name: "mark outlives the first writable open", rule: "who may write unseen removes the mark before he is let in (C3)", scene: "data", stress: "passthrough",
    edits: [passthroughSteps("if (isWritable) { const unmarked", "if (false) { const unmarked")],
  },
  {
    name: "mark outlives a writable open after readers", rule: "also when the descriptor was registered for readers, who leave the mark (C3)", scene: "data", stress: "passthrough",
    edits: [openModes("if (request.isWritable && !this.#isMarkGone)", "if (false)")],
  },
  {
    name: "open modes mixed", rule: "a file passes through only while no other open of any kind exists (V3)", scene: "data", stress: "passthrough",
    edits: [openModes(`const isFirst = this.#backing === "none" && this.#others === 0;`, `const isFirst = this.#backing === "none";`), openModes("else if (this.#others > 0) this.#answerOtherwise(request, record, effects);", "")],
  },
];

const fences: readonly Mutant[] = [
  {
    name: "fence acknowledged before the drain", rule: "an acknowledged fence says that what ran has ended (C4)", scene: "joined", stress: "workers",
    edits: [drains("pending: object.runningNow(fence), givesGuardBack", "pending: new Set(), givesGuardBack")],
  },
  {
    name: "neither fence nor round drains", rule: "an acknowledged record says that nothing runs under an older one (C4)", scene: "joined", stress: "workers",
    edits: [
      drains("pending: object.runningNow(fence), givesGuardBack", "pending: new Set(), givesGuardBack"),
      drains("pending: object.runningNow(), givesGuardBack: true,", "pending: new Set(), givesGuardBack: true,"), managedObject("if (generation < (drain.generation ?? 0))", "if (false)"),
      drains("else for (const id of object.runningNow()) drain.pending.add(id);", ""),
    ],
  },
  {
    name: "invalidate before answer", rule: "a cleared region waits for nobody's pages (C6)", test: "cluster/data-management.test.js", only: "object-calls", says: "work:{kind:flush",
    edits: [objectCalls(`if (result.kind === "ok" && result.announcement !== undefined) this.#rounds.begin(lease.fs, result.announcement, "all", () => undefined);`,
      `if (result.kind === "ok" && result.announcement !== undefined) result = { ...result, round: { kind: "flush", handle: result.announcement.handle } };`)],
  },
  {
    name: "fence not heeded", rule: "what a fence stops waits (H3)", scene: "joined", stress: "rights",
    edits: [admission("if (object.isFencedFor(use.access) && !operation.request.passesFences)", "if (false)")],
  },
  {
    name: "interested nodes not fenced", rule: "a right waits for every node with an interest (H3)", scene: "joined", stress: "rights",
    edits: [rightsServer("const nodes = new Set(object.interests);", "const nodes = new Set();")],
  },
  {
    name: "only interested nodes fenced", rule: "an object without a record is fenced on all that mount its file system (H3)", scene: "joined", stress: "rights",
    edits: [rightsServer("if (!claim.isManaged)", "if (false)")],
  },
  {
    name: "first record thought known", rule: "an object of which not every member knows that it has a record is fenced on all that mount its file system (H3)", test: "cluster/data-management.test.js", only: "rights-first-record", says: "isManaged:true",
    edits: [objectGate("record.generation > 1", "record.generation > 0")],
  },
  {
    name: "first record built upon", rule: "nothing follows an object's first record that not all know of (H3)", test: "cluster/data-management.test.js", only: "first-record-owed", says: "A  job record.change",
    edits: [objectCalls("owed.generation === FIRST_GENERATION", "false")],
  },
  {
    name: "grant before the drain", rule: "a right is granted when all have drained (H3)", scene: "joined", stress: "rights",
    edits: [rightsServer("if (targets.some((node) => object.fenced.get(node)?.isDrained === false)) return;", "")],
  },
  {
    name: "grant before the view is in force", rule: "a server grants only in a view in force (H3 e)", scene: "joined", stress: "isolations",
    edits: [rightsServer("const members = this.#here.view?.members ?? []; const { isInForce } = this.#here; if (this.#isOpen", "const members = this.#here.view?.members ?? []; const isInForce = true; if (this.#isOpen")],
  },
  {
    name: "grant before all have reported", rule: "a new server knows every holder before it grants (H3 c, e)", scene: "joined", stress: "rights",
    edits: [rightsServer("|| !members.every((member) => this.#reported.has(member.id))", "")],
  },
  {
    name: "fence released early", rule: "a fence stands as long as its holder, also under a new server (H3)", scene: "joined", stress: "rights",
    edits: [rightsServer("this.#lower(object, needed);", `this.#lower(object, "null");`)],
  },
  {
    name: "holdings not reported", rule: "what is held is told to the server of the new view (H3)", scene: "joined", stress: "rights",
    edits: [rightsClient("holds: holds.filter((hold) => homes.get(hold.handle) === id)", "holds: []")],
  },
  {
    name: "two exclusive rights", rule: "the exclusive right has one holder (H3)", scene: "joined", stress: "rights",
    edits: [at("dmapi/rights.js")(`return a === "null" || b === "null" || (a === "shared" && b === "shared");`, "return true;")],
  },
  {
    name: "round of one", rule: "a round waits for every member that mounts the file system (C4)", scene: "joined", stress: "workers",
    edits: [rounds(`(whom === "all" || member.id !== this.#here.me)`, `(whom === "all" ? member.id === this.#here.me : false)`)],
  },
  {
    name: "round ends with the view", rule: "a new view ends a round only for members that left (C4 (5), C7)", scene: "joined", stress: "workers",
    edits: [rounds("if (!isThere)", "if (true)")],
  },
  {
    name: "interests outlive an exclusion", rule: "a new life forgets interests, and registers them anew (C7)", scene: "joined", stress: "rights",
    edits: [admission(`object.interest = "none"; object.fence = "null"; object.fenceNumber = 0;`, `object.fence = "null"; object.fenceNumber = 0;`)],
  },
  {
    name: "right after a failed round", rule: "a changed record whose round failed is not built upon (C4 (5))", test: "cluster/data-management.test.js", only: "round-failed", says: "+   '   A  answer-call {call:2",
    edits: [objectCalls(`this.#settle(call, failure === undefined ? result : { kind: "failed", failure });
    }); } /** Safety`, `this.#settle(call, result); }); } /** Safety`), objectCalls("const owed = this.#undrained.get(checked.args.handle);", "const owed = undefined;")],
  },
  {
    name: "no interest registered", rule: "a node registers its interest before it touches an object that has a record (H3)", scene: "joined", stress: "rights",
    edits: [admission(`if (object.record !== null && object.interest !== "granted")`, "if (false)")],
  },
  {
    name: "record believed past a fence", rule: "a record is read anew when a fence has gone down: its holder may have died before it told of a change (H3)", test: "cluster/admission/admission.test.js", only: "first record stored under a right", says: "or no later right on it would be told to this node",
    edits: [managedObject("this.mustLoadAgain ||= this.record !== undefined || this.isLoading;", ";")],
  },
  {
    name: "names kept beside others", rule: "who mounts a file system lets its users in when no other kernel keeps its names and attributes (H7)", test: "cluster/data-management.test.js", only: "mounts.txt", says: "drop-names",
    edits: [soles(`this.#rounds.begin(fs, { kind: "drop-names" }, "others", (failure) => {`, "((done) => done(undefined))((failure) => {")],
  },
  {
    name: "changed before it is dropped", rule: "a change runs when every kernel that may keep the object has dropped it (H7)", scene: "joined", stress: "interrupts", isQuick: true,
    edits: [keeping("for (const [{ id }, wanted] of asked) this.#sayTo(id, { kind: \"drop-wanted\", drop: change, objects: wanted }); return false;", "for (const [{ id }, wanted] of asked) this.#sayTo(id, { kind: \"drop-wanted\", drop: change, objects: wanted }); this.#waiting.delete(change); return true;")],
  },
  {
    name: "dropped before the kernel has forgotten", rule: "who says that it dropped an object has a kernel that has forgotten it (H7)", scene: "joined",
    edits: [keeping("this.#drop([...objects], (dropped) => this.#sayTo(from, { kind: \"drop-done\", drop, objects: dropped }));", "this.#drop([...objects], () => {}); this.#sayTo(from, { kind: \"drop-done\", drop, objects: [...objects] });")],
  },
  {
    name: "kept while it is changed", rule: "nobody is permitted to keep what is just being changed (H7)", scene: "joined", stress: "workers",
    edits: [keeping("if (this.#mayChange(own)) {", "if (false) {")],
  },
  {
    name: "one permission is enough", rule: "a kernel keeps what every other node that mounts has permitted (H7)", scene: "joined",
    edits: [keeping("kept.missing?.delete(from) !== true || kept.missing.size > 0", "kept.missing?.delete(from) !== true")],
  },
  {
    name: "former permission believed", rule: "a permission that answers a former question says nothing (H7)", test: "cluster/keeping/keeping.test.js", only: "former question", says: "the new question waits for the change",
    edits: [keeping("kept.serial !== serial ||", "")],
  },
  {
    name: "permitted though it is read unseen", rule: "what a read by the kernel alone would change is permitted to nobody (H7)", test: "cluster/keeping/keeping.test.js", only: "may change without a word", says: "true !== false",
    edits: [keeping("if (this.#changesUnseen(own))", "if (false)")],
  },
  {
    name: "fresh after a change of its own", rule: "who changes what its kernel keeps has the attributes permitted anew (H7)", test: "cluster/keeping/keeping.test.js", only: "who changes what it keeps itself", says: "its kernel has forgotten them already",
    edits: [keeping("isAged: true, serial: 0", "isAged: false, serial: 0")],
  },
  {
    name: "permissions outlive a change of the others", rule: "what is kept is void when another node mounts (H7)", scene: "joined", stress: "remounts",
    edits: [keeping("this.#departing.push(peer); this.giveUpAll();", "this.#departing.push(peer);"), at("simulator/joined-node.js")("reactor.giveUpAll(() => this.roundDrained(effect.round, effect.from))", "this.roundDrained(effect.round, effect.from)")],
  },
  {
    name: "departed kernels taken for empty", rule: "what a node that left may keep counts until a view without it is in force (H7, C7)", test: "cluster/keeping/keeping.test.js", only: "one that leaves", says: "the kernel of A may still keep it",
    edits: [keeping("if (!isInForce) return; for (const peer of this.#departing)", "for (const peer of this.#departing)")],
  },
  {
    name: "kept past the lease", rule: "what a kernel keeps ends with its node's lease (H7)", scene: "joined", stress: "isolations",
    edits: [at("simulator/reactor-model.js")("this.#up.keepsUntilMs ?? 0", "(this.#up.keepsUntilMs ?? 0) + 30_000")],
  },
  {
    name: "standing fences not told", rule: "a reactor hears the fences that stand before it admits anything (H3)", scene: "joined", stress: "rights",
    edits: [at("simulator/joined-node.js")("for (const fence of this.#standing.values()) reactor.step(fence);", "")],
  },
  {
    name: "admits before fences are told", rule: "a node that joins or mounts waits for every rights server's word (H3)", test: "cluster/data-management.test.js", only: "mount-under-fence", says: "job mount",
    edits: [rightsClient("return servers.length > 0 && servers.every((id) => this.#toldBy.has(id));", "return true;")],
  },
  {
    name: "rights outlive an exclusion", rule: "rights of an excluded life are void (C7)", scene: "joined", stress: "rights",
    edits: [at("cluster/data-management.js")("this.#rights.excluded();", "")],
  },
  {
    name: "reactor outlives an exclusion", rule: "a new life believes nothing cached (C7)", scene: "joined",
    edits: [at("simulator/joined-node.js")("this.reactor?.forget()", "undefined")],
  },
  {
    name: "right outlives its token", rule: "rights end with their token (XDSM dm_respond_event)", scene: "joined",
    edits: [at("cluster/data-management.js")("rights.releaseAll(gate.holderOf(token));", ";")],
  },
  {
    name: "rights of a predecessor", rule: "what a dead migrator held goes before its successor moves anything", scene: "joined", stress: "migrators",
    edits: [application(`if ("handle" in event) {`, "if (false) {")],
  },
];

const events: readonly Mutant[] = [
  {
    name: "one resubmission dropped", rule: "an event whose host is gone is offered again (C9)", scene: "joined",
    edits: [source("if (!this.#isWellPlaced(held)) this.#route(held);", `if (!this.#isWellPlaced(held) && held.place.kind !== "at-session") this.#route(held);`)],
  },
  {
    name: "event taken for a duplicate", rule: "only the same event under the same token is a duplicate (C9)", scene: "joined",
    edits: [host("hosted.undelivered.set(entry.token, entry); this.#here.count", "if (hosted.delivered % 3 !== 2) hosted.undelivered.set(entry.token, entry); this.#here.count")],
  },
  {
    name: "duplicate not known", rule: "an event that is here already is not queued again (C9)", scene: "joined",
    edits: [host("if (known !== undefined) { const isSame", "if (false) { const isSame"), source("if (!this.#isWellPlaced(held)) this.#route(held);", "this.#route(held);")],
  },
  {
    name: "answered before it is taken", rule: "respond succeeds when the source has the answer (C9)", scene: "joined",
    edits: [host("taken.respondCall = call;", "this.#desk.answer(call, {});")],
  },
  {
    name: "early event dropped", rule: "an event by a newer registry waits for it (H5)", scene: "cluster", stress: "wires",
    edits: [host("this.#early.push({ from, message });", ";")],
  },
  {
    name: "ended twice", rule: "an operation goes on once (C9)", scene: "joined",
    edits: [source("return this.#held.delete(held.token);", "return true;"), source(`if (held === undefined || !isAt(held, from, message.session)) return this.#here.count("answersDropped");`, `if (held === undefined) return this.#here.count("answersDropped");`)],
  },
  {
    name: "tokens begin anew", rule: "a token names one event for ever (H5)", scene: "joined",
    edits: [at("cluster/source-node/tokens.js")("this.#slot = life.slot; this.#counter = hashOf(", "this.#slot = life.slot; this.#counter = 0 * hashOf(")],
  },
  {
    name: "given elsewhere before force", rule: "what an excluded host was offered goes elsewhere only when the view is in force (C7)", test: "cluster/data-management.test.js", only: "event-before-force", says: "+   '   C => A  event-raised",
    edits: [source("if (this.#mayStillBeGivenOut(held.place.node)) return true;", "")],
  },
  {
    name: "held events forgotten", rule: "users of an excluded node wait for it to rejoin (C7)", scene: "cluster", stress: "isolations",
    edits: [source(`this.#log.excluded(); for (const held of this.#held.values())`, "this.#log.excluded(); this.#held.clear(); for (const held of this.#held.values())")],
  },
];

const registry: readonly Mutant[] = [
  {
    name: "answered before all acknowledged", rule: "a session call is answered when every member has it (H5)", scene: "cluster", stress: "managers",
    edits: [manager("while (this.#answers[0] !== undefined && this.#answers[0].version <= lowest)", "while (this.#answers[0] !== undefined)")],
  },
  {
    name: "own record wins", rule: "the registry of a new manager is the latest, whoever hosts (C10)", scene: "cluster", stress: "managers",
    edits: [member("if (this.#copy.isAfter(snapshot)) return; this.#copy.install(snapshot, nowMs);",
      `{
        const own = this.#copy.sessions().filter((session) => session.node === this.#options.me);
        const others = snapshot.sessions.filter((session) => !own.some((each) => each.id === session.id));
        this.#copy.install({ ...snapshot, sessions: [...others, ...own] }, nowMs); }`),
      member("this.#copy.forget();", ""), node("copy: this.#copy, sent: this.#sent,", "copy: this.#copy, me: this.#id, sent: this.#sent,")],
  },
  {
    name: "any copy will do", rule: "of several copies the latest is the truth (C10)", scene: "cluster", stress: "managers",
    edits: [manager("this.#phase.copies.reduce((a, b) => (compareCopies(b, a) > 0 ? b : a))", "this.#phase.copies.reduce((a, b) => (compareCopies(b, a) < 0 ? b : a))")],
  },
  {
    name: "copies compared by the view they changed in", rule: "under one manager the version alone tells which copy is later (C10)", test: "cluster/node.test.js", only: "manager-dies-collecting", says: "the same copy (2, 2)",
    edits: [member("if (this.#copy.apply(change, nowMs))", "if (this.#copy.apply(change, nowMs, this.#options.view()))"), node("copy: this.#copy, sent: this.#sent,", "copy: this.#copy, view: () => this.#membership.view?.number, sent: this.#sent,"), copy("apply(change, atMs) {", "apply(change, atMs, view = 0) { this.#view = Math.max(this.#view, view);")],
  },
  {
    name: "late copy installed", rule: "a copy sent in a former term takes nothing back (C10)", test: "cluster/node.test.js", only: "late-install", says: "the session was destroyed",
    edits: [member("if (this.#copy.isAfter(snapshot)) return;", "")],
  },
  {
    name: "collected before all have sent", rule: "a new manager hears every member of the view (C10, H5)", scene: "cluster", stress: "managers",
    edits: [manager("if (this.#phase.waiting.size > 0) return; let best", "let best")],
  },
  {
    name: "epoch not checked", rule: "a frame of another view is refused (C7)", scene: "cluster",
    edits: [stream("if (frame.view > this.#view) {", "if (false) {"), stream("if (frame.view < this.#view || frame.sequence", "if (frame.sequence")],
  },
  {
    name: "last of those together lost", rule: "what goes together arrives together (C9)", scene: "cluster",
    edits: [host("passedBy } of message.events) {", "passedBy } of message.events.slice(0, -1)) {")],
  },
  {
    name: "those together turned round", rule: "events of one source come in the order in which they were raised (C9)", scene: "cluster",
    edits: [host("passedBy } of message.events) {", "passedBy } of message.events.slice().reverse()) {")],
  },
  {
    name: "collected events behind the barrier", rule: "what a turn has said counts as sent (C9)", test: "cluster/sent-together.test.js", says: "+ 'destroyed'",
    edits: [node("this.#together.flush(peer); return this.#streams.lastSequence(peer);", "return this.#streams.lastSequence(peer);")],
  },
  {
    name: "collected events overtaken", rule: "a stream keeps the order in which its node spoke (C9)", test: "cluster/sent-together.test.js", says: "event-withdrawn 2",
    edits: [at("cluster/sent-together.js")("else { this.flush(to); this.#sendNow(to, message);", "else { this.#sendNow(to, message);")],
  },
  {
    name: "not resent after a reconnect", rule: "what was in flight on a wire that broke is sent again (C9)", scene: "cluster",
    edits: [stream("return this.#unacknowledged.slice(0, countMax).map((entry) => this.#numbered(entry));", "return [];")],
  },
  {
    name: "call not asked again", rule: "an unanswered call is put to the next manager (H5)", scene: "cluster", stress: "managers",
    edits: [node("if (!isSameManager) for (const { request } of unanswered) this.#ask(request);", ""), manager("for (const unfinished of message.unfinished) this.#take(askedOf(from, unfinished));", "")],
  },
  {
    name: "call run twice", rule: "a request is known by its id, also to the next manager (H5)", scene: "cluster", stress: "managers",
    edits: [manager("if (former !== undefined) {", "if (false) {")],
  },
  {
    name: "destroyed without asking the host", rule: "a session with events is not destroyed (H5)", scene: "joined",
    edits: [host("isEmpty(session) {", "isEmpty(session) { return true;")],
  },
  {
    name: "joiner without the registry", rule: "a joiner gets the whole registry (H5)", scene: "cluster", stress: "managers",
    edits: [manager("if (member.id !== this.#id && memberOf(before, member) === undefined) this.#install(member.id);", ";")],
  },
  {
    name: "two owners", rule: "each (file system, event) has one owner (XDSM dm_set_disp)", scene: "cluster",
    edits: [at("cluster/registry/dispositions.js")(`return each.event === "mount" || !change.events.includes(each.event);`, "return true;")],
  },
  {
    name: "ids from the registry alone", rule: "ids come from a block that the view reserved (H5)", scene: "cluster", stress: "blackouts",
    edits: [manager("this.#nextSessionId = Math.max(this.#nextSessionId, best.highestSessionId + 1);", "this.#nextSessionId = best.highestSessionId + 1;")],
  },
  {
    name: "answers after the lease", rule: "nobody answers whose lease is over (C8)", test: "cluster/node.test.js", only: "answer-held-too-long", says: "7040 A answer-call",
    edits: [node("return this.#membership.view === undefined || this.#nowMs < this.#membership.validUntilMs;", "return true;")],
  },
  {
    name: "in force without the dead", rule: "a view is in force when who left is dead or its lease over (C7)", scene: "cluster", stress: "isolations",
    edits: [at("cluster/view/membership.js")("|| this.#isInForce || !this.#removed.isNone) return;", "|| this.#isInForce) return;")],
  },
  {
    name: "silence taken for an end", rule: "a silent member may have renewed before the view without it was stored: its lease is taken (C7)", test: "cluster/view/membership.test.js", only: "it may have come back", says: "C may have renewed its lease before that view was stored",
    edits: [at("cluster/view/removed-lives.js")("this.#lives = this.#lives.filter((life) => !this.#standing.isEnded(life));", "this.#lives = this.#lives.filter((life) => !this.#standing.isDead(life));")],
  },
  {
    name: "users of an excluded node wait for ever", rule: "users of a node that is out wait no longer than fencedHoldMs, also those whose operation raised no event (C7)", test: "cluster/node.test.js", only: "out-for-too-long", says: "refuses:ESTALE",
    edits: [users("this.#closedAtMs === undefined || this.#areRefused ? Infinity", "true ? Infinity")],
  },
  {
    name: "proof without a lock", rule: "only a free lock or another boot proves a death (C8)", scene: "lease",
    edits: [directory("isHeld: holder !== undefined && holder !== process", "isHeld: false")],
  },
  {
    name: "claim without watching", rule: "a claim is of exactly the renewal that was watched (C8)", scene: "lease", isQuick: true,
    edits: [directory("const file = this.#files.get(call.from);  if (file === undefined) return failed(\"ENOENT\", call.from); if (this.#files.get(call.to) === file)",
      `let { from } = call;
       if (call.to.startsWith("leases/taken+") && !this.#files.has(from)) from = [...this.#files.keys()].find((each) => each.startsWith(from.slice(0, from.lastIndexOf(".") + 1))) ?? from;
       const file = this.#files.get(from);
       if (file === undefined) return failed("ENOENT", from);
       if (from !== call.from) this.#files.delete(from);
       if (this.#files.get(call.to) === file)`)],
  },
  {
    name: "two views of one number", rule: "a view comes in only where its number is free (C8)", scene: "lease",
    edits: [directory("if (this.#files.has(call.to)) return failed(\"EEXIST\", call.to);", "")],
  },
  {
    name: "lease from the end of the call", rule: "a lease counts from before its renewal was issued (C8)", scene: "lease", stress: "volumes",
    edits: [at("coordination/shared-volume/lease-machine.js")("this.#renewedAgain(done.startMs, done.endMs - triedMs);", "this.#renewedAgain(done.endMs, done.endMs - triedMs);")],
  },
  {
    name: "renewed without a look", rule: "whoever's lease was over learns of the view before it acts again (C7)", test: "coordination/shared-volume/lease-machine.test.js", only: "whoever's lease was over", says: "before the view was read",
    edits: [at("coordination/shared-volume/lease-machine.js")("const wasOver = this.#nowMs >= this.#validUntilMs;", "const wasOver = false;")],
  },
];

const logStore = at("daemon/event-log/store.js");
/** M11: durable events. */
const durable: readonly Mutant[] = [
  {
    name: "logged before it is synced", rule: "a user goes on when the event is on stable storage (M11)", scene: "cluster", stress: "durable",
    edits: [logStore("const synced = attempt(() => this.#files.sync(segment.fd) ?? {});", "const synced = {};")],
  },
  {
    name: "acknowledged before it is synced", rule: "an acknowledgement is answered when the cursor is on stable storage (M11)", scene: "cluster", stress: "durable",
    edits: [logStore("this.#files.sync(file.fd);", "")],
  },
  {
    name: "torn tail believed", rule: "what a crash left half written counts for nothing (M11)", test: "daemon/event-log/store.test.js", only: "in whose middle", says: "only what is whole is read",
    edits: [at("daemon/event-log/codec.js")("|| bytes.readUInt32LE(at + 4) !== checksum(bytes, begin, length)", "")],
  },
  {
    name: "cursor lost", rule: "a new host begins at what is acknowledged (M11)", scene: "cluster", stress: "durable",
    edits: [at("cluster/durable-events/log-reader.js")("if (cursor !== undefined && (isNew || log.isFresh))", "if (false)")],
  },
  {
    name: "name of a segment not synced", rule: "a segment's name is on stable storage before its events count (M11)", scene: "cluster", stress: "durable",
    edits: [logStore(`if (size !== 0) return "used"; this.#files.syncDirectory(folder);`, `if (size !== 0) return "used";`)],
  },
  {
    name: "behind a failed sync", rule: "nothing is put behind what a failed sync left (M11)", scene: "cluster", stress: "durable",
    edits: [logStore("segment.isSpoilt = true;", "")],
  },
  {
    name: "former cursors forgotten", rule: "what was acknowledged once stays so, whichever host wrote it down (M11)", scene: "cluster", stress: "durable",
    edits: [logStore("if (more.some((cursor) => this.#hasLog(session, cursor)))", "if (false)"), logStore("into.set(key, joined(into.get(key), cursor));", "into.set(key, cursor);")],
  },
  {
    name: "log of a departed source not read", rule: "who died right after an operation has left what it owes (M11)", scene: "cluster", stress: "durable",
    edits: [at("cluster/durable-events/log-reader.js")("else if (known.members !== members)", "else if (false)")],
  },
];

/** What the scenes do not have: names, formats, handles, limits, durable events. */
const beside: readonly Mutant[] = [
  {
    name: "damaged record believed", rule: "a record counts only with its checksum (H4)", test: "volume/record.test.js", only: "every damaged byte", says: "- 'corrupted'",
    edits: [at("volume/record-codec.js")("if (crc32(value, 8) !== value.readUInt32LE(4))", "if (false)")],
  },
  {
    name: "forged handle opened", rule: "a handle counts only with the cluster's seal (H6)", test: "volume/handle-seal.test.js", says: "digit 0",
    edits: [at("volume/handle-seal.js")("return parts !== undefined && timingSafeEqual(", "return parts !== undefined || timingSafeEqual(")],
  },
  {
    name: "times before the data", rule: "times go back only after the data is on disk (H12)", test: "migration/move/steps.test.js", says: "+   'restore-times',",
    edits: [recallSteps(`yield* ask("sync-file", "sync-file", {}); yield* ask("restore-times", "restore-times", { atimeNs: times.atimeNs, mtimeNs: times.mtimeNs });`,
      `yield* ask("restore-times", "restore-times", { atimeNs: times.atimeNs, mtimeNs: times.mtimeNs }); yield* ask("sync-file", "sync-file", {});`)],
  },
  {
    name: "reserve kept", rule: "the reserve of a full volume is let go for a recall's last record (M7)", test: "volume/reserve.test.js", only: "last record", says: "'ENOSPC' !== 'ok'",
    edits: [at("volume/reserve.js")(`share !== "none" && letGo(ownFd, share)`, "false")],
  },
  {
    name: "reserve for everybody", rule: "ordinary changes take nothing of the reserve (M7)", test: "volume/reserve.test.js", only: "ordinary change", says: "'ok' !== 'ENOSPC'",
    edits: [at("volume/reserve.js")(`return old?.residency === "partial" ? "all" : "none";`, `return "all";`)],
  },
  {
    name: "any engine will do", rule: "an engine that does not hold what is needed is refused (M13)", test: "volume/filesystem.test.js", only: "probe tries", says: "namesExclude",
    edits: [at("volume/probe.js")("if (!record.namesExclude)", "if (false)")],
  },
  {
    name: "frame of any length", rule: "a frame's length is looked at before memory is taken (H15)", test: "wire/application-frames.test.js", says: "Missing expected exception (FrameError)",
    edits: [at("wire/application-frames.js")("if (length > this.lengthMax)", "if (false)")],
  },
  {
    name: "silent open for writing", rule: "a file that is away asks for its bytes at the open for writing: stores through a mapping are not seen (H8)", test: "cluster/admission/admission.test.js", only: "opening a stub for writing: due", says: "false !== true",
    edits: [dueEvents(`return record.residency === "partial" && hasWriteRegion ? "write" : undefined;`, "return undefined;")],
  },
  {
    name: "directory held for ever", rule: "held directory operations end early (C5)", test: "cluster/data-management.test.js", only: "event-life", says: "-   '   C  resume-operation {operation:3,decision:{kind:abort,code:EIO}}",
    edits: [source("const limit = isDirectoryOperation ?", "const limit = false ?")],
  },
  {
    name: "application waits for itself", rule: "an event does not go to the process that waits for it (M1)", test: "cluster/data-management.test.js", only: "self-deadlock", says: "+   '   A => A  event-raised",
    edits: [source("this.#isServedBy(session.id, held.process.pid)", "false")],
  },
  {
    name: "renewed by a daemon that stands still", rule: "a lease is renewed only while every thread shows life (M2)", test: "coordination/shared-volume/lease-machine.test.js", says: "7000 !== 5000",
    edits: [at("coordination/shared-volume/lease-machine.js")(`this.#lease !== "held" || !this.#isTicking`, `this.#lease !== "held"`)],
  },
  {
    name: "group's event leaves its node", rule: "a group's event goes to the member on its own node (M3)", test: "cluster/data-management.test.js", only: "application-lease-group", says: "+   '   A => C  event-raised",
    edits: [at("cluster/source-node/routing.js")("able.find((member) => member.node === here.me) ??", "")],
  },
  {
    name: "failed session waited for without end", rule: "without a host an event waits up to a limit (M4)", test: "cluster/data-management.test.js", only: "session-assumed", says: "-   '   A  resume-oper",
    edits: [source(`untilMs: why === "failed" ? failed : Number.POSITIVE_INFINITY`, "untilMs: Number.POSITIVE_INFINITY")],
  },
  {
    name: "every member asked", rule: "a right asks only the nodes that have touched the object (M9)", test: "cluster/data-management.test.js", only: "assumed-tokens", says: "+   '   A => D  fence-raised",
    edits: [rightsServer("if (!claim.isManaged)", "if (true)")],
  },
  {
    name: "goes on without its log", rule: "with the durable log an operation waits until its event is on disk (M11)", test: "cluster/data-management.test.js", only: "durable-pressure", says: "+   '   B  resume-operation {operation:1,decision:{kind:continue}}",
    edits: [at("cluster/durable-events/log-writer.js")("return !what.failed(failure);", "what.logged(); return false;")],
  },
];

/** What is about kernels, mounts, threads and the system: tests with real ones. */
const real: readonly Mutant[] = [
  {
    name: "reactor calls a remote backing itself", rule: "what may block runs in workers (H1)", test: "daemon/reactor/remote-backing.test.js", only: "workers stand still", says: "the read waits for a worker",
    edits: [core("this.isLocal = options.isRemote !== true && isLocalBacking(this.rootFd);", "this.isLocal = isLocalBacking(this.rootFd);")],
  },
  {
    name: "standstill without end", rule: "a watchdog ends a daemon that stands still (H1)", test: "daemon/watchdog.test.js", only: "no word from the daemon", says: "due once it is past the limit",
    edits: [at("daemon/watchdog.js")("if (before <= this.#limitMs && watched.stoodMs > this.#limitMs)", "if (false)")],
  },
  {
    name: "page fault ended by a signal", rule: "only a kill ends a page fault (H2)", test: "daemon/reactor/events.test.js", only: "does not end a page fault", says: "the event goes on",
    edits: [at("daemon/reactor/held-operations.js")("if (task.isDone || isFill(task.request)) return;", "if (task.isDone) return;")],
  },
  {
    name: "retry raises the event again", rule: "the retry after a handled signal joins its event (H2)", test: "daemon/reactor/events.test.js", only: "the retry joins the event", says: "events raised for one read",
    edits: [at("daemon/reactor/kept-events.js")("for (const kept of this.#kept.values())", "for (const kept of [])")],
  },
  {
    name: "former place of a moved directory kept", rule: "a directory that another node moved is found and renamed whatever is locked here (C5)", test: "daemon/reactor/moved-directories.test.js", only: "is renamed by its new name", says: "-116",
    edits: [at("daemon/reactor/moved-directories.js")("forgetEntry(move.parent, move.name)", 'forgetEntry(move.parent, "")')],
  },
  {
    name: "time set back in silence", rule: "pages everywhere are dropped before and after a user sets a time (H7)", test: "daemon/reactor/events.test.js", only: "sets the mtime back", says: "'old' !== 'new'",
    edits: [at("daemon/reactor/attribute-operations.js")("const setsBackMtime = isRegular &&", "const setsBackMtime = false && isRegular &&")],
  },
  {
    name: "pages kept at an open", rule: "an open drops the file's pages (H7)", test: "daemon/reactor/mount.test.js", only: "dropped at an open", says: "+ 'midmid'",
    edits: [openOperations("core.keptPages.dropped(file.inode); return 0;", "return openReplyFlags.keepCache;")],
  },
  {
    name: "pages kept at a lock", rule: "a granted lock drops the file's pages (H7)", test: "daemon/reactor/mount.test.js", only: "dropped when a lock is granted", says: "ok old",
    edits: [lockOperations("if (!isUnlock) yield* core.pages.dropped(inode);", "")],
  },
  {
    name: "one owner of all locks", rule: "users' locks are per owner (H9)", test: "daemon/reactor/mount.test.js", only: "locks of ranges between mounts and users", says: "ok ok",
    edits: [at("daemon/reactor/lock-table.js")("const keyOf = (id, isFlock) =>", "const keyOf = (_, isFlock, id = 0n) =>")],
  },
  {
    name: "an append goes on with the receive buffer", rule: "bytes that came with a request are copied out when it waits (H1)", test: "daemon/reactor/remote-backing.test.js", only: "append writes what came with it", says: "beforenumber 0, ??",
    edits: [dataOperations('core.journal.begin(task, yield* core.call("sizeOf", fd)); const { data } = task;', 'var { data } = task; if (core.memory !== undefined) core.journal.begin(task, yield* core.call("sizeOf", fd));')],
  },
  {
    name: "locks given up by whoever closes later", rule: "a close is answered when its locks are gone (H9)", test: "daemon/reactor/remote-backing.test.js", only: "is given up when its close is answered", says: "given up",
    edits: [lockOperations('yield* core.call("lock", owner.fd, "unlock", 0n, 0n);', "")],
  },
  {
    name: "two calls at once by one owner's descriptor", rule: "users' locks are per owner (H9)", test: "daemon/reactor/remote-backing.test.js", only: "are done one after the other", says: "the unlock's turn is not yet",
    edits: [lockOperations("while (turn.isTaken && !turn.isOver) {", "while (false) {")],
  },
  {
    name: "locks taken again are the same locks", rule: "a circle over nodes is refused only if all of it was there at one moment (H9)", test: "cluster/locks/circles.test.js", says: "was in no circle",
    edits: [at("cluster/locks/circles.js")("holds: holds.filter(({ handle, change }) => held.get(handle) === change)", "holds: holds.filter(({ handle }) => held.has(handle))")],
  },
  {
    name: "open files wait in circles", rule: "locks of open files take no part in circles (H9)", test: "daemon/reactor/lock-table.test.js", only: "an open file waits for nobody", says: "open-file",
    edits: [at("daemon/reactor/lock-table.js")('if (waiting.owner.id === other.id && (by === "process" || by === "unknown"))', "if (waiting.owner.id === other.id)")],
  },
  {
    name: "an append's end kept from the kernel", rule: "an append is answered when the kernel knows its end (H9)", test: "daemon/reactor/mount.test.js", only: "knows where an append ended", says: "ok 12",
    edits: [dataOperations("if (appends && end !== request.offset + written) yield* showEnd(core, inode, request);", "")],
  },
  {
    name: "pages read beside appends", rule: "who opens a file that is appended to reads it directly (H9)", test: "daemon/reactor/mount.test.js", only: "appended to reads no pages", says: "old\\nold",
    edits: [openOperations("return inode.directAppends > 0 || inode.isWrittenElsewhere;", "return false;")],
  },
  {
    name: "opened for appending", rule: "no backing descriptor is opened for appending (H9)", test: "daemon/reactor/mount.test.js", only: "open for appending", says: "0123456789012X456789Z",
    edits: [at("daemon/reactor/backing-calls.js")("fd = files.openNow(proc(pathFd), files.open.readWrite);", "fd = files.openNow(proc(pathFd), files.open.readWrite | files.open.append);")],
  },
  {
    name: "nobody checks permissions", rule: "the kernel checks permissions (H10)", test: "daemon/reactor/mount.test.js", only: "permissions bind users", says: "+ 'secret",
    edits: [at("fuse/mount.js")("allow_other,default_permissions,", "allow_other,"), at("fuse/codec/init.js")("f.parallelDirops | f.posixAcl |", "f.parallelDirops |")], // the kernel checks also where it is told ACLs
  },
  {
    name: "root makes users' files", rule: "threads take the user's ids for ownership and quotas (H10)", test: "daemon/reactor/mount.test.js", only: "what a user makes", says: "+ '0 0",
    edits: [identity("if (uid === 0 && gid === 0 && groups.length === 0)", "if (true)")],
  },
  {
    name: "reach lost with the ids", rule: "threads that take a user's ids keep what they need to open files (H10)", test: "os/files.test.js", only: "without losing its reach", says: "DAC_OVERRIDE is kept",
    edits: [identity("(effective & ~fileCapabilities) | (raised & now.permitted)", "effective & ~fileCapabilities")],
  },
  {
    name: "mounted where the kernel ends mounts", rule: "a kernel setting that would end a held event is refused (M6)", test: "daemon/mounted-node.test.js", only: "(fs/fuse/default_request_timeout)", says: "it has mounted",
    edits: [at("daemon/reactor/mount.js")("if (timeouts.length > 0 && options.allowsRequestTimeouts !== true)", "if (false)")],
  },
  {
    name: "done twice", rule: "what was done and not answered is not done again by the next daemon (H11)", test: "daemon/reactor/takeover.test.js", only: "mkdir: done and not answered", says: "File exists",
    edits: [at("daemon/reactor/reactor.js")("this.core.journal.claim(task, unique);", "")],
  },
  {
    name: "what the next daemon has to do is answered by the last", rule: "what was not begun is the next daemon's to do and to answer (H11)", test: "daemon/reactor/takeover.test.js", only: "calls that had not begun", says: "ENODEV",
    edits: [at("daemon/reactor/thread.js")("io.leavesUndone = reactor.isLeft;", "")],
  },
  {
    name: "users' locks end with the daemon", rule: "users' locks hold while no daemon is there (H11)", test: "daemon/mounted-node.test.js", only: "locks hold while", says: "while no daemon is there",
    edits: [lockOperations("core.keeper?.keep({ key: made.key, note: noteOf(inode, made) }, fd);", "")],
  },
  {
    name: "another holder gets no locks", rule: "a holder that ends under its daemon is replaced by one that keeps all it kept (H11)", test: "daemon/mounted-node.test.js", only: "another begins", says: "by another holder",
    edits: [at("daemon/reactor/reactor.js")("locks.keepLocksAgain(core);", "")],
  },
  {
    name: "write-back cache taken", rule: "the kernel is not asked to keep users' writes (M6)", test: "fuse/codec/codec.test.js", only: "what is never taken", says: "WRITEBACK_CACHE",
    edits: [at("fuse/codec/init.js")("const flags = wanted & init.flags;", "const flags = (wanted | (1 << 16)) & init.flags;")],
  },
  {
    name: "waiting writes without bound", rule: "memory of held requests is bounded (M8)", test: "daemon/reactor/events.test.js", only: "bytes of writes that wait", says: "120000",
    edits: [at("daemon/reactor/held-data.js")("if (this.inMemory + data.length > this.#bytesMax && data.length <= SLOT_BYTES)", "if (false)")],
  },
  {
    name: "every call by a worker", rule: "few thread hops for an event (M10)", test: "daemon/reactor/events.test.js", only: "an event costs one message", says: "threads begun for it",
    edits: [core("if (!this.isLocal) return yield* this.callAside(name, ...args);", "return yield* this.callAside(name, ...args);")],
  },
  {
    name: "errno of another call", rule: "errno is read at once (M12)", test: "os/files.test.js", only: "a failed call gives", says: "-9 !== -2",
    edits: [
      at("os/native.js")("const result = raw(...args);", "const result = raw(...args); if (result < 0) other(-1);"),
      at("os/native.js")("export function orErrno(result) {", `const other = libc.func("int close(int fd)"); export function orErrno(result) { if (result < 0) other(-1);`),
    ],
  },
];

export const mutants: readonly Mutant[] = [...guards, ...passthrough, ...fences, ...events, ...registry, ...durable, ...beside, ...real];
