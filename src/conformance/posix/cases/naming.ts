/**
 * mkdir(2), rmdir(2), mknod(2), symlink(2), readlink(2), link(2), unlink(2): what they make and refuse.
 */
import { isLong } from "../../bench.js";
import { table } from "../case-text.js";

/** Of ext4; making them takes its time. */
const mostLinks = `== large: as many links as there can be
file f
under: links f 64999
root@a: link f one-more = EMLINK
root@b: stat f nlink
root@a: unlink link-0
root@b: stat f nlink
root@b: link f one-more
`;

export const naming = table(`
== mkdir gives mode, owner and two links
mkdir d 750
stat d
alice: mkdir e 7777
alice: stat e
mkdir d/sub
stat d

== mkdir over what is there
file f
mkdir d
symlink nowhere s
symlink d sd
mkdir f = EEXIST
mkdir d = EEXIST
mkdir d/ = EEXIST
mkdir s = EEXIST
mkdir sd = EEXIST
mkdir sd/ = EEXIST
mkdir . = EEXIST
mkdir .. = EEXIST
mkdir d/. = EEXIST

== mkdir where it cannot be
file f
mkdir n/d = ENOENT
mkdir f/d = ENOTDIR
mkdir empty = ENOENT
mkdir {n*256} = ENAMETOOLONG
mkdir {d/*2100} = ENAMETOOLONG
symlink s s
mkdir s/d = ELOOP
mkdir @nofd/d = EBADF
d=open f rdonly
mkdir @d/x = ENOTDIR
mkdir {n*255}
mkdir n/
rmdir n/

== mkdir without permission
mkdir d 755
alice: mkdir d/x = EACCES
mkdir e 700
alice: mkdir e/x/y = EACCES
chmod d 775
chown d 0 3500
alice: mkdir d/hers
carol: mkdir d/no = EACCES
stat d

== directories count their directories
mkdir d
mkdir d/1
mkdir d/2
file d/f
stat d nlink
rmdir d/1
stat d nlink
rename d/2 e
stat d nlink
stat . nlink
rename e d/3
stat d nlink = 3

== rmdir
mkdir d
mkdir d/e
file f
symlink d s
rmdir d = ENOTEMPTY
rmdir f = ENOTDIR
rmdir s = ENOTDIR
rmdir s/ = ENOTDIR
rmdir n = ENOENT
rmdir . = EINVAL
rmdir d/. = EINVAL
rmdir d/e/.. = ENOTEMPTY
rmdir d/e/
rmdir d
rmdir n/x = ENOENT
rmdir f/x = ENOTDIR
rmdir {n*256} = ENAMETOOLONG
rmdir empty = ENOENT
symlink l l
rmdir l/x = ELOOP

== rmdir without permission
mkdir d 755
mkdir d/e 777
alice: rmdir d/e = EACCES
chmod d 1777
alice: rmdir d/e = EPERM
alice: mkdir d/hers
bob: rmdir d/hers = EPERM
chown d 3002 0
bob: rmdir d/hers
alice: mkdir d/again
alice: rmdir d/again

== a directory that is somebody's, removed
mkdir d
root@a: d=open d rdonly
root@b: rmdir d
root@a: stat @d type nlink
root@a: getdents d = ENOENT
root@a: fsync d
root@a: fchmod d 700
root@a: stat @d mode
root@b: mkdir d
root@a: stat @d nlink

== mknod
alice: mknod f file 640
alice: mknod p fifo 7644
alice: mknod s socket 666
stat f
stat p
mknod c character 620 1 3
mknod b block 660 259 1048575
mknod h character 600 4095 255
stat c type mode rdev
stat b type mode rdev
stat h rdev
alice: mknod c2 character 600 1 3 = EPERM
alice: mknod b2 block 600 7 0 = EPERM
mknod d directory 755 = EPERM
mknod n none 600
stat n

== mknod refused
file f
mkdir d 755
mknod f fifo = EEXIST
mknod n/p fifo = ENOENT
mknod f/p fifo = ENOTDIR
mknod {n*256} fifo = ENAMETOOLONG
mknod p/ fifo = ENOENT
alice: mknod d/p fifo = EACCES
symlink nowhere s
mknod s fifo = EEXIST
mknod empty fifo = ENOENT

== a device is opened through its name
mknod zero character 666 1 5
d=open zero rdonly
read d 4 = %00%00%00%00
mknod none character 666 240 200
open none rdonly = ENXIO

== symbolic links
symlink target s
lstat s
readlink s
alice: symlink /etc/passwd abs
readlink abs
symlink {t*4095} long
readlink long
lstat long size
symlink {t*4096} longer = ENAMETOOLONG
symlink empty e = ENOENT
readlink s 3
symlink %ff%01%20 odd
readlink odd
symlink {x*60} sixty
readlink sixty
symlink {x*59} fiftynine
readlink fiftynine

== symlink refused
file f
mkdir d 755
symlink x f = EEXIST
symlink x d = EEXIST
symlink x n/s = ENOENT
symlink x f/s = ENOTDIR
symlink x {n*256} = ENAMETOOLONG
symlink x s/ = ENOENT
symlink x empty = ENOENT
alice: symlink x d/s = EACCES
symlink l l
symlink x l = EEXIST
symlink x l/x = ELOOP

== readlink refused
file f
mkdir d
readlink f = EINVAL
readlink d = EINVAL
readlink n = ENOENT
readlink f/x = ENOTDIR
readlink {n*256} = ENAMETOOLONG
mkdir p 700
symlink x p/s
alice: readlink p/s = EACCES
symlink t s
readlink s 0 = EINVAL

== hard links
file f 644 text
link f g
stat f nlink
cat g
root@a: link f h
root@b: stat f nlink
root@b: stat h nlink
unlink f
stat g nlink
root@b: unlink g
root@a: stat h nlink
root@a: cat h

== hard links of everything but directories
mknod p fifo 600
mknod c character 600 1 3
mknod k socket 600
symlink nowhere s
mkdir d
link p p2
link c c2
link k k2
link s s2
readlink s2
lstat s nlink
link d d2 = EPERM
link . here = EPERM
link s followed follow = ENOENT
file f
symlink f sf
link sf hard follow
stat hard
link sf soft
lstat soft

== link refused
file f
mkdir d
file d/f
link f d/f = EEXIST
link f f = EEXIST
link f d = EEXIST
symlink nowhere s
link f s = EEXIST
link n x = ENOENT
link f n/x = ENOENT
link f/x y = ENOTDIR
link f f/x = ENOTDIR
link f {n*256} = ENAMETOOLONG
link {n*256} x = ENAMETOOLONG
link f x/ = ENOENT
link f empty = ENOENT
link empty x = ENOENT
link f x bad = EINVAL
symlink l l
link l/x y = ELOOP
link f l/x = ELOOP
link @nofd/f x = EBADF

== link without permission
mkdir d 755
mkdir e 700
file f 666
file e/g 666
alice: link f d/x = EACCES
alice: link e/g x = EACCES
alice: link f e/x = EACCES
alice: file hers 600
alice: link hers hers2
bob: link hers stolen = EPERM
file s 6777
alice: link s stolen = EPERM
file rw 666
chmod d 777
alice: link rw d/rw
file ro 644
alice: link ro d/ro = EPERM

== link to another file system
file f
link f /dev/shm/sluice-never = EXDEV
rename f /dev/shm/sluice-never = EXDEV
link /dev/null x = EXDEV
rename /dev/null x = EXDEV

== an open file linked by its descriptor
d=open f rdwr,creat 644
write d text
link @d g
link proc:d h follow
stat f nlink
unlink f
unlink g
stat @d nlink
unlink h
stat @d nlink
link @d back = ENOENT
pread d 4 0

== unlink
file f 644 text
mkdir d
symlink f s
mknod p fifo
unlink d = EISDIR
unlink s
stat f
unlink p
unlink f
unlink f = ENOENT
unlink n/x = ENOENT
file g
unlink g/x = ENOTDIR
unlink g/ = ENOTDIR
unlink {n*256} = ENAMETOOLONG
unlink empty = ENOENT
unlink . = EISDIR
unlink d/ = EISDIR
symlink l l
unlink l/x = ELOOP
unlink l

== unlink without permission
mkdir d 755
file d/f 666
alice: unlink d/f = EACCES
mkdir e 700
file e/f 666
alice: unlink e/f = EACCES
mkdir t
chmod t 1777
file t/root 666
alice: file t/alice 666
alice: unlink t/root = EPERM
bob: unlink t/alice = EPERM
alice: unlink t/alice
chown t 3002 3002
alice: file t/alice 666
bob: unlink t/alice
bob: unlink t/root

== times of a removal
mkdir d
file d/f
link d/f d/g
unlink d/f
stat d/g nlink
rmdir n = ENOENT
unlink d/g
rmdir d

== a file without a name lives while it is open
file f 644 text
root@a: d=open f rdwr
root@b: e=open f rdonly
root@b: unlink f
root@a: stat @d nlink
root@a: pwrite d more 4
root@b: stat @e nlink
root@b: pread e 20 0
root@a: fchmod d 600
root@a: ftruncate d 6
root@b: pread e 20 0
root@a: stat @d
root@b: file f 644 new
root@a: pread d 10 0
root@b: cat f

== a new file with an old one's name is another
root@a: file f 644 one
root@b: cat f
root@a: unlink f
root@a: file f 644 two
root@b: cat f
root@b: unlink f
root@b: mkdir f
root@a: stat f type
root@a: rmdir f
root@a: symlink x f
root@b: readlink f

== links of one file made and removed on both nodes
root@a: file f
root@b: link f g
root@a: link g h
root@b: unlink f
root@a: stat h nlink
root@b: stat g nlink
root@a: unlink g
root@b: stat h nlink

== large: paths beyond the longest by steps
root@a: mkdir {d*250}
root@a: chdir {d*250}
root@a: mkdir {e*250}
root@a: chdir {e*250}
root@a: mkdir {f*250}
root@a: chdir {f*250}
root@a: mkdir {g*250}
root@a: chdir {g*250}
root@a: mkdir {h*250}
root@a: chdir {h*250}
root@a: mkdir {i*250}
root@a: chdir {i*250}
root@a: mkdir {j*250}
root@a: chdir {j*250}
root@a: mkdir {k*250}
root@a: chdir {k*250}
root@a: mkdir {l*250}
root@a: chdir {l*250}
root@a: mkdir {m*250}
root@a: chdir {m*250}
root@a: mkdir {n*250}
root@a: chdir {n*250}
root@a: mkdir {o*250}
root@a: chdir {o*250}
root@a: mkdir {p*250}
root@a: chdir {p*250}
root@a: mkdir {q*250}
root@a: chdir {q*250}
root@a: mkdir {r*250}
root@a: chdir {r*250}
root@a: mkdir {s*250}
root@a: chdir {s*250}
root@a: mkdir {t*250}
root@a: chdir {t*250}
root@a: file deep 644 bottom
root@a: cat deep
root@a: rename deep deeper
root@a: link deeper again
root@a: stat again
root@a: list .
root@a: symlink deeper s
root@a: cat s
root@a: unlink deeper
root@a: chdir ..
root@a: list .

${isLong ? mostLinks : ""}`);
