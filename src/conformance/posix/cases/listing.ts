/**
 * Directories as they are read, and access times.
 */
import { isLong } from "../../bench.js";
import { table } from "../case-text.js";

const many = isLong ? 200_000 : 1_500;

export const listing = table(`
== what a directory has
mkdir d
file d/f
mkdir d/sub
symlink x d/s
mknod d/p fifo
mknod d/c character 600 1 3
mknod d/k socket
list d
root@a: list d
root@b: list d
entries d
mkdir e
list e
rmdir e
list e = ENOENT
list d/f = ENOTDIR

== a directory without permission
mkdir d 711
file d/f
alice: list d = EACCES
alice: stat d/f
chmod d 744
alice: list d
alice: stat d/f = EACCES
chmod d 700
alice: list d = EACCES

== what comes and goes while it is read
mkdir d
file d/one
root@a: d=open d rdonly
root@a: getdents d
root@a: getdents d = nothing
root@b: file d/two
root@b: unlink d/one
root@a: rewind d
root@a: getdents d
root@b: rename d/two d/three
root@a: rewind d
root@a: getdents d

== getdents of what is none
file f
d=open f rdonly
getdents d = ENOTDIR
getdents nofd = EBADF
mkdir e
p=open e path
getdents p = EBADF

== dot dot
mkdir d
mkdir d/e
stat d/e/.. nlink
list d/e
root@b: rename d/e e
stat e/.. nlink
list e

== large: a directory of very many, read whole and while others come and go
mkdir d
under: fill d ${many}
root@a: census d
root@b: entries d ${many / 100}
root@a: &churn d ${isLong ? 3_000 : 150}
root@b: census d
root@b: census d
root@a: wait = ok
root@a: census d
root@b: churn d 10
root@a: stat d
list d/n = ENOENT

== large: a directory emptied
mkdir d
root@a: fill d ${isLong ? 5_000 : 200}
root@b: census d
rmdir d = ENOTEMPTY
root@b: empty d
root@a: list d
root@a: rmdir d

== access: a read
file f 644 text
d=open f rdonly
read d 10
pread d 10 0
stat f size
e=open f rdonly
read e 10

== access: after each change
root@a: file f 644 text
root@b: cat f
root@a: d=open f wronly
root@a: pwrite d more 0
root@b: cat f
root@b: cat f
root@a: utimens f 1 2
root@b: cat f
root@b: cat f

== access: by the node that wrote
root@a: file f 644 text
root@a: cat f

== access: of directories and links
mkdir d
file d/f 644 x
list d
list d
symlink d/f s
readlink s
cat s
readlink s

== access: not with O_NOATIME
file f 644 text
d=open f rdonly,noatime
read d 10 # tree: noatime-open

== access: a lookup is none
mkdir d
file d/f
stat d/f
root@b: stat d/f

== access: by execution and mapping
copy /bin/true f 755
exec ./f = exit 0
file g 644 text
d=open g rdonly
m=mmap d shared r 0 4096 # tree: access-by-mapping
load m 0 4 # tree: access-by-mapping
`);
