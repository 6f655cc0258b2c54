/**
 * The mount as an ordinary file system, on real mounts: what programs do every day, on one mount and on two of one backing.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Bench, type BenchMount } from "./harness.js";

const canMount = process.getuid?.() === 0 && existsSync("/dev/fuse");

const top = new URL("../../", import.meta.url).pathname;
/** A program of a few statements with the system calls at hand: A, B, BACKING; `f` files, `l` locks. */
function js(statements: string): string {
  const program = `
    import * as f from "${top}os/files.js"; import * as l from "${top}os/locks.js"; import { errnoName } from "${top}os/errno.js"; import { mapFile } from "${top}os/memory.js"; import { FileStat } from "${top}os/stat.js";
    const { A, B, BACKING } = process.env; const print = (...values) => console.log(...values); const name = (r) => (r < 0 ? errnoName(r) : "ok");
    const get = (p, n) => { const b = Buffer.alloc(512), r = f.getxattrOfPath(p, n, b); return r < 0 ? errnoName(r) : b.toString("utf8", 0, r); };
    const set = (p, n, v) => name(f.setxattrOfPath(p, n, Buffer.from(v)));
    const list = (p) => { const b = Buffer.alloc(512), r = f.listxattrOfPath(p, b); return r < 0 ? errnoName(r) : b.toString("utf8", 0, r).split(String.fromCharCode(0)).join(" ").trim(); };
    ${statements}`;
  return `node --input-type=module -e '${program.replaceAll("'", `"`)}'`;
}

describe("a mount is a file system", { skip: canMount ? false : "needs root and /dev/fuse" }, () => {
  let bench: Bench;
  let a: BenchMount;
  let b: BenchMount;
  before(async () => {
    bench = new Bench();
    a = await bench.mount();
    b = await bench.mount();
  });
  after(() => bench.close());

  const cases: [name: string, script: string, expected: string][] = [
    ["write, read and stat", "echo hello > $A/f; cat $A/f; stat -c '%s %F %a' $A/f", "hello\n6 regular file 644\n"],
    ["a new file is seen by the other mount at once", "echo x > $A/seen; cat $B/seen", "x\n"],
    ["a change is seen by the other mount at its next call", "echo 1 > $A/c; cat $B/c; echo 22 > $A/c; cat $B/c; echo 333 > $B/c; cat $A/c", "1\n22\n333\n"],
    ["directories", "mkdir -p $A/d/e; rmdir $A/d/e; ls $B/d; rmdir $B/d; test -e $A/d || echo gone", "gone\n"],
    ["a directory that is not empty", "mkdir $A/full; touch $A/full/x; rmdir $A/full 2>&1 | sed 's/.*: //'; rm -r $A/full", "Directory not empty\n"],
    ["symbolic links", "ln -s target $A/s; readlink $B/s; rm $A/s", "target\n"],
    ["hard links", "echo l > $A/l1; ln $A/l1 $A/l2; stat -c %h $B/l1; rm $A/l1; cat $B/l2", "2\nl\n"],
    ["renames", "echo r > $A/r1; mv $A/r1 $A/r2; cat $B/r2; test -e $B/r1 || echo gone; echo v > $A/r3; mv $A/r3 $A/r2; cat $B/r2", "r\ngone\nv\n"],
    ["rename between directories", "mkdir $A/x1 $A/x2; echo m > $A/x1/f; mv $A/x1/f $A/x2/g; cat $B/x2/g", "m\n"],
    ["fifos and devices", "mkfifo $A/fifo; stat -c %F $B/fifo; mknod $A/null c 1 3; echo away > $A/null; cat $A/null; stat -c '%F %t %T' $A/null", "fifo\ncharacter special file 1 3\n"],
    ["modes and owners", "touch $A/m; chmod 4711 $A/m; chown 1000:1000 $A/m; stat -c '%a %u %g' $B/m", "711 1000 1000\n"],
    ["times", "touch -d '2001-02-03 04:05:06.789 UTC' $A/t; TZ=UTC stat -c %y $B/t", "2001-02-03 04:05:06.789000000 +0000\n"],
    ["truncation", "echo 123456789 > $A/tr; truncate -s 4 $A/tr; cat $B/tr; truncate -s 8 $A/tr; stat -c %s $B/tr", "12348\n"],
    ["appends of two mounts", "for i in 1 2 3; do echo a$i >> $A/ap; echo b$i >> $B/ap; done; cat $A/ap | tr '\\n' ' '", "a1 b1 a2 b2 a3 b3 "],
    [
      "a store through a mapping of a file that is open for appending goes to its place",
      `printf 0123456789 > $A/am; ${js("const d=f.openAt(-100,A+'/am',2|f.open.append),m=mapFile(d,10,true);m.bytes[3]=88;print(m.sync());f.pwrite(d,Buffer.from('Z'),0,1,0);m.unmap()")}; cat $B/am`, "0\n012X456789Z",
    ],
    [
      "the kernel knows where an append ended that began behind what it knew",
      `printf 0123456789 > $A/ae; ${js(`const d=f.openAt(-100,A+'/ae',1|f.open.append),w=f.openAt(-100,B+'/ae',1|f.open.append),s=new FileStat();
        for(const [fd,n] of [[d,1],[w,5000],[d,1]])f.pwrite(fd,Buffer.alloc(n,97),0,n,0);
        print(name(f.statAt(d,'',f.AT_EMPTY_PATH|0x4000,s)),s.size)`)}`,
      "ok 5012\n",
    ],
    [
      "who opens a file that is appended to reads no pages",
      `printf old > $A/od; touch -d @1600000000 $BACKING/od; ${js(`const d=f.openAt(-100,A+'/od',1|f.open.append),r=f.openAt(-100,A+'/od',0),w=f.openAt(-100,BACKING+'/od',2),p=Buffer.alloc(3),read=()=>(f.pread(r,p,0,3,0),p.toString());
        print(read());f.pwrite(w,Buffer.from('new'),0,3,0);f.futimens(w,1600000000n*1000000000n,1600000000n*1000000000n);print(read())`)}`,
      "old\nnew\n",
    ],
    [
      "pages are dropped at an open, whatever the times say",
      "write() { printf $1 | dd of=$BACKING/ot conv=notrunc status=none; touch -d @1600000000 $BACKING/ot; }; printf old > $A/ot; write mid; cat $B/ot; write new; cat $B/ot", "midnew",
    ],
    [
      "pages are dropped when a lock is granted, whatever the times say",
      `printf old > $A/lt; touch -d @1600000000 $BACKING/lt; ${js(`const d=f.openAt(-100,B+'/lt',2),w=f.openAt(-100,BACKING+'/lt',2),p=Buffer.alloc(3),read=()=>(f.pread(d,p,0,3,0),p.toString());
        const write=(t)=>{f.pwrite(w,Buffer.from(t),0,3,0);f.futimens(w,1600000000n*1000000000n,1600000000n*1000000000n)};
        print(read());write('mid');print(read());write('new');print(name(l.setLock(d,new l.LockRequest().fill('read',0n,3n))),read())`)}`,
      "old\nold\nok new\n",
    ],
    ["a file without a name lives as long as it is open", "exec 5<>$A/un; echo u >&5; rm $A/un; echo v >&5; cat /proc/self/fd/5; stat -L -c '%h %s' /proc/self/fd/5", "u\nv\n0 4\n"],
    ["extended attributes, ours hidden", `touch $A/xa; ${js("const p=A+'/xa';set(p,'user.k','v');set(BACKING+'/xa','trusted.sluice.mark','m');print(list(p),get(p,'user.k'));f.removexattrOfPath(p,'user.k');print(list(p))")}`, "user.k v\n\n"],
    ["our attributes cannot be read, set or removed", `touch $A/xb; ${js("const p=A+'/xb';print(get(p,'trusted.sluice'),set(p,'trusted.sluice','x'),name(f.removexattrOfPath(p,'trusted.sluice.mark')))")}`, "ENODATA EPERM EPERM\n"],
    ["our directory is not seen", "ls -A $A | grep -c sluice; stat $A/.sluice 2>&1 | sed 's/.*: //'; mkdir $A/.sluice 2>&1 | sed 's/.*: //'", "0\nNo such file or directory\nOperation not permitted\n"],
    ["holes are kept and found", `truncate -s 1M $A/h; echo end >> $A/h; ${js("const d=f.openAt(-100,A+'/h',0);print(f.lseek(d,0,3),f.lseek(d,0,4))")}`, "1048576 0\n"],
    ["allocation and punching", "fallocate -l 64K $A/fa; stat -c %s $B/fa; yes | head -c 65536 > $A/fa; fallocate -p -o 0 -l 4096 $A/fa; head -c 4 $B/fa | od -An -tx1; stat -c %s $B/fa", "65536\n 00 00 00 00\n65536\n"],
    ["copy_file_range", "yes | head -c 300000 > $A/cs; cp $A/cs $A/cd; cmp $A/cs $B/cd && echo same", "same\n"],
    ["large data", "head -c 5000001 /dev/urandom > $A/big; cp $A/big $A/big2; cmp $A/big $B/big2 && sync $A/big2 && stat -c %s $B/big2", "5000001\n"],
    ["a mapped program runs", "cp /bin/true $A/true; $A/true && $B/true && echo ran", "ran\n"],
    ["many names", "mkdir $A/many; cd $A/many; for i in $(seq 700); do : > file-with-a-long-name-$i; done; ls | wc -l; ls -l $B/many | wc -l; find $B/many -type f | wc -l; cd /; rm -r $A/many; ls $B | grep -c many", "700\n701\n700\n0\n"],
    ["odd names", "printf x > \"$A/a b\nc\"; cd $A; printf y > \"$(printf '\\377\\376')\"; cat \"$B/a b\nc\" \"$B/$(printf '\\377\\376')\"; printf z > $A/" + "n".repeat(255) + "; cat $B/nnn*", "xyz"],
    ["a name that is too long", "touch $A/" + "n".repeat(256) + " 2>&1 | sed 's/.*: //'", "File name too long\n"],
    ["the mode mask and default ACLs", "umask 027; touch $A/um; mkdir $A/umd; stat -c %a $B/um $B/umd", "640\n750\n"],
    ["a setgid directory gives its group", "mkdir $A/sg; chgrp 1234 $A/sg; chmod 2775 $A/sg; touch $A/sg/f; mkdir $A/sg/d; stat -c '%g %a' $B/sg/f $B/sg/d", "1234 644\n1234 2755\n"],
    ["a write by a user clears set-id bits", "cp /bin/true $A/su; chown 1000 $A/su; chmod 6755 $A/su; chmod 755 $A; setpriv --reuid 1000 --clear-groups sh -c \"echo x >> $A/su\"; stat -c %a $B/su", "755\n"],
    ["permissions bind users", "echo secret > $A/p; chmod 600 $A/p; chmod 755 $A; setpriv --reuid 1000 --clear-groups cat $A/p 2>&1 | sed 's/.*: //'", "Permission denied\n"],
    ["what a user makes is the user's", "mkdir -m 777 $A/users; setpriv --reuid 1000 --regid 1001 --clear-groups sh -c \"echo x > $A/users/f; mkdir $A/users/d; ln -s t $A/users/s\"; stat -c '%u %g' $B/users/f $B/users/d $B/users/s", "1000 1001\n1000 1001\n1000 1001\n"],
    ["handles are told to root only", `touch $A/ha; ${js("const p=A+'/ha';print(get(p,'system.sluice.handle').length>40,get(p,'user.sluice.state'));process.setuid(1000);print(get(p,'system.sluice.handle'))")}`, "true resident\nEPERM\n"],
    ["flock between mounts", "touch $A/fl; exec 6<$A/fl; flock -x 6; flock -n -x $B/fl true || echo busy; flock -n -x $A/fl true || echo busy; flock -u 6; flock -n -x $B/fl true && echo free", "busy\nbusy\nfree\n"],
    [
      "locks of ranges between mounts and users",
      `touch $A/rl; ${js(`const of = (m) => f.openAt(-100, m + '/rl', 2), lock = (d, from, n) => name(l.setLock(d, new l.LockRequest().fill('write', from, n)));
        const soon = (d, from, n) => { for (let i = 0; i < 400; i++) { if (lock(d, from, n) === 'ok') return 'ok'; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); } return 'never'; };
        const own = of(A); print(lock(own, 5n, 10n)); for (const m of [A, B]) { const d = of(m); print(lock(d, 14n, 1n), soon(d, 15n, 5n)); f.close(d); } f.close(own); print(soon(of(B), 0n, 0n));`)}`,
      "ok\nEAGAIN ok\nEAGAIN ok\nok\n",
    ],
    ["statfs", "test $(stat -f -c %b $A) = $(stat -f -c %b $BACKING) && echo same", "same\n"],
    ["exchange and no-replace", `echo 1 > $A/e1; echo 2 > $A/e2; ${js("const r=(n)=>name(f.renameAt(-100,A+'/e1',-100,A+'/e2',n));print(r(2),r(1))")}; cat $B/e1 $B/e2`, "ok EEXIST\n2\n1\n"],
    ["a temporary file can be given a name", `${js("const d=f.openAt(-100,A,2|f.open.temporary,0o600);f.pwrite(d,Buffer.from('tmp'),0,3,0);print(name(f.linkAt(-100,f.procPath(d),-100,A+'/named',f.AT_SYMLINK_FOLLOW)))")}; cat $B/named`, "ok\ntmp"],
  ];
  for (const [name, script, expected] of cases) {
    test(name, async () => {
      const result = await bench.shell(`export A=${a.mountpoint} B=${b.mountpoint} BACKING=${bench.backing}; ${script}`).ended;
      assert.equal(result.output, expected);
    });
  }

  test("an object is known again by its number only as long as nobody can have taken the number over", async () => {
    const again = js(`const fs = await import("node:fs"), seen = new Set(); let wrong = 0;
      for (let i = 0; i < 300; i++) {
        fs.writeFileSync(BACKING + "/again", "x".repeat(i));
        for (let times = 0; times < 2; times++) { const s = fs.statSync(A + "/again"); if (s.size !== i || s.ino !== fs.statSync(BACKING + "/again").ino) wrong++; }
        seen.add(get(A + "/again", "system.sluice.handle"));
        fs.unlinkSync((i % 3 === 0 ? BACKING : A) + "/again");
      }
      print(seen.size, wrong)`);
    const result = await bench.shell(`export A=${a.mountpoint} BACKING=${bench.backing}; ${again}`).ended;
    assert.equal(result.output, "300 0\n", "each has its own handle");
  });
  test("a record that others change, which moves only the ctime, is seen at the next look", async () => {
    await bench.shell(`echo x > ${a.mountpoint}/record`).ended;
    const looks = bench.converse(`import { statSync } from "node:fs"; process.stdin.on("data", () => process.stdout.write(String(statSync("${a.mountpoint}/record").size)));`);
    assert.equal(await looks.ask(1), "2");
    for (let size = 1000; size < 1100; size++) {
      const times = { atimeNs: 1n, mtimeNs: 2n, ctimeNs: 3n };
      bench.changeRecord("record", () => ({ residency: "partial", regions: [], attributes: {}, virtual: { size, ...times } }));
      assert.equal(await looks.ask(4), String(size));
    }
    bench.changeRecord("record", () => ({ residency: "resident", regions: [], attributes: {} }));
  });

  test("nothing is left over", async () => {
    for (const mount of [a, b]) {
      await mount.until("opens to be released", async () => {
        const { counters } = await mount.report();
        return counters["files open"] === 0 && counters["directories open"] === 0 && counters["guards held"] === 0;
      });
      const { counters } = await mount.report();
      assert.equal(counters["operations waiting"], 0);
      assert.equal(counters["replies failed"], undefined);
    }
  });
});
