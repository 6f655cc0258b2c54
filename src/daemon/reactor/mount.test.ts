/**
 * The mount as an ordinary file system, on real mounts: what programs do every day, on one mount and on two of one backing.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Bench, type BenchMount } from "./harness.js";

const canMount = process.getuid?.() === 0 && existsSync("/dev/fuse");

/** Runs with A, B and BACKING replaced; the program's output, exit code and all, must be `expected`. */
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
    ["a file without a name lives as long as it is open", "exec 5<>$A/un; echo u >&5; rm $A/un; echo v >&5; cat /proc/self/fd/5; stat -L -c '%h %s' /proc/self/fd/5", "u\nv\n0 4\n"],
    ["extended attributes, ours hidden", "touch $A/xa; python3 -c \"import os;p='$A/xa';os.setxattr(p,'user.k',b'v');os.setxattr('$BACKING/xa','trusted.sluice.mark',b'm');print(os.listxattr(p),os.getxattr(p,'user.k'));os.removexattr(p,'user.k');print(os.listxattr(p))\"", "['user.k'] b'v'\n[]\n"],
    ["our attributes cannot be read, set or removed", "touch $A/xb; python3 -c \"import os,errno\np='$A/xb'\nfor f in (lambda:os.getxattr(p,'trusted.sluice'),lambda:os.setxattr(p,'trusted.sluice',b'x'),lambda:os.removexattr(p,'trusted.sluice.mark')):\n  try: f()\n  except OSError as e: print(errno.errorcode[e.errno])\"", "ENODATA\nEPERM\nEPERM\n"],
    ["our directory is not seen", "ls -A $A | grep -c sluice; stat $A/.sluice 2>&1 | sed 's/.*: //'; mkdir $A/.sluice 2>&1 | sed 's/.*: //'", "0\nNo such file or directory\nOperation not permitted\n"],
    ["holes are kept and found", "truncate -s 1M $A/h; echo end >> $A/h; python3 -c \"import os;f=os.open('$A/h',os.O_RDONLY);print(os.lseek(f,0,os.SEEK_DATA),os.lseek(f,0,os.SEEK_HOLE))\"", "1048576 0\n"],
    ["allocation and punching", "fallocate -l 64K $A/fa; stat -c %s $B/fa; yes | head -c 65536 > $A/fa; fallocate -p -o 0 -l 4096 $A/fa; head -c 4 $B/fa | od -An -tx1; stat -c %s $B/fa", "65536\n 00 00 00 00\n65536\n"],
    ["copy_file_range", "yes | head -c 300000 > $A/cs; cp $A/cs $A/cd; cmp $A/cs $B/cd && echo same", "same\n"],
    ["large data", "head -c 5000001 /dev/urandom > $A/big; cp $A/big $A/big2; cmp $A/big $B/big2 && sync $A/big2 && stat -c %s $B/big2", "5000001\n"],
    ["a mapped program runs", "cp /bin/true $A/true; $A/true && $B/true && echo ran", "ran\n"],
    ["many names", "mkdir $A/many; cd $A/many; for i in $(seq 700); do : > file-with-a-long-name-$i; done; ls | wc -l; ls -l $B/many | wc -l; find $B/many -type f | wc -l; cd /; rm -r $A/many; ls $B | grep -c many", "700\n701\n700\n0\n"],
    ["odd names", "printf x > \"$A/a b\nc\"; cd $A; printf y > \"$(printf '\\377\\376')\"; cat \"$B/a b\nc\" \"$B/$(printf '\\377\\376')\"; printf z > $A/" + "n".repeat(255) + "; cat $B/nnn*", "xyz"],
    ["a name that is too long", "touch $A/" + "n".repeat(256) + " 2>&1 | sed 's/.*: //'", "File name too long\n"],
    ["the mode mask and default ACLs", "umask 027; touch $A/um; mkdir $A/umd; stat -c %a $B/um $B/umd", "640\n750\n"],
    ["a setgid directory gives its group", "mkdir $A/sg; chgrp 1234 $A/sg; chmod 2775 $A/sg; touch $A/sg/f; mkdir $A/sg/d; stat -c '%g %a' $B/sg/f $B/sg/d", "1234 644\n1234 2755\n"],
    ["a write by a user clears set-id bits", "cp /bin/true $A/su; chown 1000 $A/su; chmod 6755 $A/su; chmod 711 $A; setpriv --reuid 1000 --clear-groups sh -c \"echo x >> $A/su\"; stat -c %a $B/su", "755\n"],
    ["permissions bind users", "echo secret > $A/p; chmod 600 $A/p; chmod 755 $A; setpriv --reuid 1000 --clear-groups cat $A/p 2>&1 | sed 's/.*: //'", "Permission denied\n"],
    ["what a user makes is the user's", "mkdir -m 777 $A/users; setpriv --reuid 1000 --regid 1001 --clear-groups sh -c \"echo x > $A/users/f; mkdir $A/users/d; ln -s t $A/users/s\"; stat -c '%u %g' $B/users/f $B/users/d $B/users/s", "1000 1001\n1000 1001\n1000 1001\n"],
    ["handles are told to root only", "touch $A/ha; python3 -c \"import os;print(len(os.getxattr('$A/ha','system.sluice.handle'))>40, os.getxattr('$A/ha','user.sluice.state').decode())\"; setpriv --reuid 1000 --clear-groups python3 -c \"import os\ntry: os.getxattr('$A/ha','system.sluice.handle')\nexcept OSError as e: print(e.strerror)\"", "True resident\nOperation not permitted\n"],
    ["flock between mounts", "touch $A/fl; exec 6<$A/fl; flock -x 6; flock -n -x $B/fl true || echo busy; flock -n -x $A/fl true || echo busy; flock -u 6; flock -n -x $B/fl true && echo free", "busy\nbusy\nfree\n"],
    ["locks of ranges between mounts and users", "touch $A/rl; python3 -c \"\nimport fcntl,os,sys\nf=open('$A/rl','r+');fcntl.lockf(f,fcntl.LOCK_EX,10,5)\nfor m in '$A','$B':\n  if os.fork()==0:\n    g=open(m+'/rl','r+')\n    try: fcntl.lockf(g,fcntl.LOCK_EX|fcntl.LOCK_NB,1,14); print('free',flush=True)\n    except OSError: print('busy',flush=True)\n    fcntl.lockf(g,fcntl.LOCK_EX|fcntl.LOCK_NB,5,15); print('beyond',flush=True); os._exit(0)\n  os.wait()\n\"", "busy\nbeyond\nbusy\nbeyond\n"],
    ["statfs", "test $(stat -f -c %b $A) = $(stat -f -c %b $BACKING) && echo same", "same\n"],
    ["exchange and no-replace", "echo 1 > $A/e1; echo 2 > $A/e2; python3 -c \"import ctypes;l=ctypes.CDLL(None,use_errno=True);print(l.renameat2(-100,b'$A/e1',-100,b'$A/e2',2),l.renameat2(-100,b'$A/e1',-100,b'$A/e2',1),ctypes.get_errno())\"; cat $B/e1 $B/e2", "0 -1 17\n2\n1\n"],
    ["a temporary file can be given a name", "python3 -c \"import os;f=os.open('$A',os.O_TMPFILE|os.O_RDWR,0o600);os.write(f,b'tmp');os.link('/proc/self/fd/%d'%f,'$A/named',follow_symlinks=True)\"; cat $B/named", "tmp"],
  ];
  for (const [name, script, expected] of cases) {
    test(name, async () => {
      const result = await bench.shell(`A=${a.mountpoint}; B=${b.mountpoint}; BACKING=${bench.backing}; ${script}`).ended;
      assert.equal(result.output, expected);
    });
  }

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
