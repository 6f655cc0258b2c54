/**
 * Foreign programs that keep, copy and check files: rsync, tar, git, sqlite3, zip and fio see whole files, migrated or not, on
 * any node, and leave whole files behind. Not part of `npm test`: `npm run test:programs` installs them first.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { acceptance, type Letter, shareBench } from "./bench.js";
import { sluice, startMigrator, stopMigrator } from "./migrator.js";
import { within } from "./waiting.js";

const bench = shareBench({ nodes: 2, fileSystems: ["fs1"] });
const top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Moves are possible while the body runs. */
async function withMigrator(letter: Letter, body: () => Promise<void>): Promise<void> {
  const migrator = await startMigrator(bench(), letter);
  try {
    await body();
  } finally {
    await stopMigrator(migrator);
  }
}

/** A tree with all that an archive may keep: links of both kinds, holes, ACLs, attributes, old times, odd names, owners. */
async function makeTree(tree: string): Promise<void> {
  await bench().shell(`mkdir -p "$1/d/e"; cd "$1"
    for i in 1 2 3; do head -c 300000 /dev/urandom > "f$i"; done
    ln f1 d/hard; ln -s ../f2 d/soft; ln -s nowhere "dangling"; mkfifo pipe; : > empty; printf x > "$(printf 'odd \\351\\n name')"
    truncate -s 8M sparse; printf begin | dd of=sparse conv=notrunc status=none; printf middle | dd of=sparse bs=1M seek=5 conv=notrunc status=none
    setfacl -m u:1234:rw,g:4321:r,m::rw f3; setfacl -d -m u:1234:rx d; setfacl -m u:1234:x d/e
    setfattr -n user.note -v "$(head -c 200 /dev/zero | tr '\\0' n)" f1; setfattr -n user.empty f2; setfattr -n user.dir -v here d; setfattr -n trusted.kept -v root f3
    chown 1000:1001 f2; chown -h 1002 d/soft; chmod 4755 f1; chmod 1777 d/e
    find . -depth -exec touch -h -d @1500000000.75 {} +; touch -d @1234567890.123456789 f1 d/e; touch -h -d @99.5 d/soft; touch -d @5000000000.25 f3`, tree);
}
/** All that the tree shows, as text. Directories' sizes and inode numbers are each file system's own. */
async function describeTree(tree: string): Promise<string> {
  return (await bench().shell(`export LC_ALL=C; cd "$1"
    find . \\( -type d -printf '%p %y %m %U %G %T@\\n' -o -printf '%p %y %m %U %G %n %s %T@ %l\\n' \\) | sort
    find . -type f -print0 | sort -z | xargs -0 sha256sum
    find . ! -type l -print0 | sort -z | xargs -0 getfacl -pnt
    find . -print0 | sort -z | xargs -0 getfattr -hde hex -m -`, tree)).toString("latin1");
}
async function assertSparse(path: string): Promise<void> {
  const [size, blocks] = (await bench().shell('stat -c "%s %b" "$1"', path)).toString().split(" ").map(Number);
  assert(blocks! * 512 < size! / 2, `${path} has ${blocks} blocks for ${size} bytes`);
}

acceptance("rsync -aHAXS carries a tree in, and out again on another node while it is migrated; then it finds nothing to do", async () => {
  const bare = join(bench().directory, "rsync-bare");
  const tree = (letter: Letter) => bench().path(letter, "fs1", "rsync");
  const copy = join(bench().directory, "rsync-copy");
  await makeTree(bare);
  await bench().run("rsync", ["-aHAXS", `${bare}/`, tree("A")]);
  const expected = await describeTree(bare);
  assert.equal(await describeTree(tree("B")), expected);
  await assertSparse(tree("A") + "/sparse");
  await withMigrator("B", async () => {
    await sluice(bench(), "A", "migrate", "-r", tree("A"));
    await bench().run("rsync", ["-aHAXS", "--checksum", `${tree("B")}/`, copy]);
    assert.equal(await describeTree(copy), expected);
    await assertSparse(join(copy, "sparse"));
    for (const [from, to] of [[tree("A"), copy], [copy, tree("B")]] as const) {
      assert.equal((await bench().run("rsync", ["-aHAXSi", "--checksum", `${from}/`, to])).toString(), "");
    }
  });
}, 120_000);

acceptance("tar keeps attributes, ACLs, holes and links of a migrated tree, and unpacks them on another node", async () => {
  const bare = join(bench().directory, "tar-bare");
  const archive = join(bench().directory, "tree.tar");
  const keep = ["--xattrs", "--xattrs-include=*", "--acls", "--sparse"];
  const tree = (letter: Letter, name: string) => bench().path(letter, "fs1", name);
  await makeTree(bare);
  await bench().shell("tar $2 -C \"$1\" -cf - . | (mkdir \"$3\" && tar $2 -C \"$3\" -xpf -)", bare, keep.join(" "), tree("A", "tar"));
  await withMigrator("B", async () => {
    await sluice(bench(), "B", "migrate", "-r", tree("B", "tar"));
    // A recall moves the backing's time of state change, which no call can put back: tar notes it, and archives all the same.
    const packed = await within(bench().program("tar", [...keep, "-C", tree("B", "tar"), "-cf", archive, "."]).end, "tar");
    assert(packed.code !== null && packed.code <= 1, packed.errors);
    assert.deepEqual(packed.errors.split("\n").filter((line) => line !== "" && !line.endsWith(": file changed as we read it")), []);
    await bench().shell('mkdir "$1"', tree("B", "untarred"));
    await bench().run("tar", [...keep, "-C", tree("B", "untarred"), "-xpf", archive]);
    assert.equal(await describeTree(tree("A", "untarred")), await describeTree(bare));
    await bench().run("tar", [...keep, "-C", tree("A", "tar"), "-df", archive]);
  });
}, 120_000);

acceptance("git keeps a repository with part of this project: commits, packs, clones and checks it on either node, migrated or not", async () => {
  const path = (letter: Letter, name: string) => bench().path(letter, "fs1", name);
  const git = (directory: string, ...args: string[]) => bench().run("git", ["-c", "safe.directory=*", "-c", "user.email=a@b", "-c", "user.name=n", "-C", directory, ...args]);
  await bench().shell('mkdir "$2"; cp -r "$1/src/daemon" "$1/src/volume" "$1/src/simulator" "$1/docs" "$2"; git init -q "$2"', top, path("A", "origin"));
  await git(path("A", "origin"), "add", ".");
  await git(path("A", "origin"), "commit", "-qm", "all");
  await bench().shell('cd "$1"; for i in $(seq 6); do for f in $(git -c safe.directory=\'*\' ls-files | sed -n "$((i * 7))p;$((i * 11))p;$((i * 13))p"); do echo "// $i" >> "$f"; done; git -c safe.directory=\'*\' -c user.email=a@b -c user.name=n commit -qam "$i"; done', path("B", "origin"));
  await git(path("B", "origin"), "gc", "-q");
  await withMigrator("B", async () => {
    await sluice(bench(), "A", "migrate", "-r", path("A", "origin"));
    await bench().run("git", ["-c", "safe.directory=*", "clone", "-q", "--no-hardlinks", path("B", "origin"), path("B", "clone")]);
    await git(path("A", "clone"), "gc", "-q", "--prune=now");
    await sluice(bench(), "A", "migrate", "-r", path("A", "clone/.git"));
    assert.match((await git(path("B", "clone"), "fsck", "--full", "--strict")).toString(), /^$/);
    assert.equal((await git(path("B", "clone"), "status", "--porcelain")).toString(), "");
    assert.equal((await git(path("A", "clone"), "log", "--oneline")).toString().trim().split("\n").length, 7);
    assert.equal((await git(path("A", "clone"), "rev-parse", "HEAD^{tree}")).toString(), (await git(path("B", "origin"), "rev-parse", "HEAD^{tree}")).toString());
    await bench().run("diff", ["-r", "--exclude=.git", path("A", "origin"), path("B", "clone")]);
  });
}, 240_000);

acceptance("sqlite3 with a rollback journal under writers on two nodes: every committed row is there, the database is intact", async () => {
  const path = (letter: Letter) => bench().path(letter, "fs1", "rows.db");
  const [writers, transactions, rows] = [2, 12, 10];
  await bench().run("sqlite3", [path("A"), "pragma journal_mode=delete; create table rows (writer text, n integer, filler blob, unique (writer, n));"]);
  const write = (letter: Letter, writer: number) => {
    const lines = Array.from({ length: transactions }, (_, turn) => {
      const inserts = Array.from({ length: rows }, (_, row) => `insert into rows values ('${letter}${writer}', ${turn * rows + row}, randomblob(700));`);
      return `begin immediate; ${inserts.join(" ")} commit;`;
    });
    return bench().run("sqlite3", ["-bail", "-cmd", ".timeout 60000", path(letter)], { input: `${lines.join("\n")}\n` });
  };
  // A reader beside them meets whole transactions alone.
  let isWriting = true;
  const read = async (letter: Letter) => {
    while (isWriting) {
      const seen = (await bench().run("sqlite3", ["-cmd", ".timeout 60000", path(letter), `select count(*) % ${rows} from rows; pragma quick_check;`])).toString();
      assert.equal(seen, "0\nok\n");
    }
  };
  const reading = read("B");
  const writing = Promise.all((["A", "B"] as const).flatMap((letter) => Array.from({ length: writers }, (_, writer) => write(letter, writer))));
  await writing.finally(() => {
    isWriting = false;
  });
  await reading;
  for (const letter of ["A", "B"] as const) {
    const seen = await bench().run("sqlite3", [path(letter), "select count(*), count(distinct writer || n) from rows; pragma integrity_check;"]);
    const all = 2 * writers * transactions * rows;
    assert.equal(seen.toString(), `${all}|${all}\nok\n`);
  }
}, 180_000);

/** Whether this machine lets a program use io_uring at all. */
async function mayUseRings(): Promise<boolean> {
  const file = join(bench().directory, "ring");
  const tried = await within(bench().program("fio", ["--name=try", `--filename=${file}`, "--size=64k", "--ioengine=io_uring", "--rw=write"]).end, "fio with io_uring", 60_000);
  return tried.code === 0;
}
acceptance("fio verifies with another node what it wrote, migrated between, in several engines", async (note) => {
  await withMigrator("B", async () => {
    const engines: (readonly string[])[] = [["psync"], ["psync", "--direct=1"], ["mmap"], ["libaio", "--iodepth=8"], ["libaio", "--direct=1", "--iodepth=8"]];
    if (await mayUseRings()) engines.push(["io_uring", "--iodepth=8"], ["io_uring", "--direct=1", "--iodepth=8"]);
    else note("io_uring is not permitted here");
    for (const [at, [engine, ...more]] of engines.entries()) {
      const job = (letter: Letter, ...mode: string[]) =>
        ["--name=job", `--filename=${bench().path(letter, "fs1", `fio-${at}`)}`, "--size=4m", "--bsrange=4k-64k", "--bs_unaligned=0", `--ioengine=${engine}`, "--verify=crc32c", "--randseed=7", "--rw=randwrite", ...more, ...mode];
      await bench().run("fio", [...job("A", "--do_verify=0"), "--end_fsync=1"]);
      await sluice(bench(), "B", "migrate", bench().path("B", "fs1", `fio-${at}`));
      await bench().run("fio", job("B", "--verify_only"));
    }
  });
}, 180_000);

acceptance("fio verifies what it wrote a moment ago while the file is moved out and back without pause", async () => {
  await withMigrator("B", async () => {
    const file = bench().path("A", "fs1", "fio-moved");
    await bench().shell('head -c 4194304 /dev/urandom > "$1"', file);
    // Opened anew for each piece: what the kernel has open for itself is not moved (safety C2).
    const one = ["--name=job", `--filename=${file}`, "--size=4m", "--io_size=512k", "--bs=4k", "--ioengine=psync", "--rw=randrw", "--verify=crc32c", "--verify_backlog=32", "--verify_fatal=1", "--thinktime=2ms"];
    const job = bench().program("sh", ["-ec", 'for piece in $(seq 6); do fio "$@" --randseed=$piece; done', "sh", ...one]);
    let moves = 0;
    while (!job.isOver) {
      const move = bench().program(process.execPath, [join(top, "bin", "sluice.mjs"), moves++ % 2 === 0 ? "migrate" : "recall", bench().path("B", "fs1", "fio-moved"), "--socket", bench().cluster.socket(bench().id("B"))]);
      await within(move.end, "a move", 120_000); // one that a writer overtook is refused, which is right
    }
    const end = await job.end;
    assert.equal(end.code, 0, end.errors + end.output.toString());
    assert(moves > 1, "the file was moved");
  });
}, 120_000);

acceptance("zip reads a migrated file whole", async () => {
  const file = bench().path("A", "fs1", "zipped");
  await bench().shell('head -c 500000 /dev/urandom > "$1"', file);
  const sum = (await bench().run("sha256sum", [file])).toString().slice(0, 64);
  await withMigrator("B", async () => {
    await sluice(bench(), "A", "migrate", file);
    const archive = join(bench().directory, "archive.zip");
    await bench().run("zip", ["-q", archive, bench().path("B", "fs1", "zipped")]);
    assert.equal((await bench().shell('unzip -p "$1" | sha256sum', archive)).toString().slice(0, 64), sum);
  });
});
