/**
 * flock(2), fcntl(2) locks of processes and of open files: within a node and between nodes, waiting, interrupted, in a circle.
 */
import { table } from "../case-text.js";

export const locking = table(`
== flock between nodes
file f
root@a: d=open f rdwr
root@b: e=open f rdonly
root@a: flock d exclusive
root@b: flock e exclusive = EAGAIN
root@b: flock e shared = EAGAIN
root@a: flock d shared
root@b: flock e shared
root@a: flock d exclusive = EAGAIN
root@b: flock e unlock
root@a: flock d exclusive
root@a: flock d bad = EINVAL
root@a: flock nofd shared = EBADF
root@a: close d
root@b: flock e exclusive wait

== flock within a node
file f
root@a: d=open f rdwr
root@a: e=open f rdonly
alice@a: x=open f rdonly
root@a: flock d exclusive
root@a: flock e exclusive = EAGAIN
alice@a: flock x shared = EAGAIN
root@a: g=dup d
root@a: close d
alice@a: flock x shared = EAGAIN
root@a: close g
alice@a: flock x shared wait

== flock waits for another node
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: flock d exclusive
root@b: &flock e exclusive wait
root@b: blocked
root@a: flock d unlock
root@b: wait = ok
root@a: flock d shared = EAGAIN

== a waiting flock is interrupted
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: flock d exclusive
root@b: &flock e shared wait
root@b: blocked
root@b: interrupt
root@b: wait = EINTR
root@a: flock d unlock
root@b: flock e exclusive

== a killed holder leaves no flock
file f
bob@a: d=open f rdonly
root@b: e=open f rdwr
bob@a: flock d exclusive
root@b: flock e shared = EAGAIN
root@b: &flock e exclusive wait
root@b: blocked
bob@a: die
root@b: wait = ok

== a killed waiter waits no more
file f
root@a: d=open f rdwr
bob@b: e=open f rdonly
root@a: flock d exclusive
bob@b: &flock e exclusive wait
bob@b: blocked
bob@b: die
root@a: flock d unlock
root@b: g=open f rdwr
root@b: flock g exclusive wait

== locks of ranges between nodes
file f 644 x*100
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: lock d write 10 10
root@b: lock e write 0 10
root@b: lock e write 15 1 = EAGAIN
root@b: lock e read 19 10 = EAGAIN
root@b: lock e read 20 10
root@a: lock d read 25 1
root@a: lock d write 25 1 = EAGAIN
root@a: lock d unlock 0 0
root@b: lock e write 0 0
root@b: lock e unlock 50 0
root@a: lock d write 50 0
root@a: lock d write 49 1 = EAGAIN
root@b: close e
root@a: lock d write 0 0

== locks of ranges within a node
file f 644 x*100
root@a: d=open f rdwr
alice@a: e=open f rdonly
root@a: lock d write 10 10
alice@a: lock e read 15 10 = EAGAIN
alice@a: lock e read 30 10
alice@a: getlock e read 0 100 = write 10 10 root@a
root@a: getlock d write 0 0 = read 30 10 alice@a
root@a: getlock d read 0 0 = free
alice@a: getlock e read 50 10 = free
alice@a: lock e read 60 0
root@a: getlock d write 55 0 = read 60 0 alice@a
root@a: lock d unlock 0 15
alice@a: getlock e read 0 100 = write 15 5 root@a
root@a: close d
alice@a: lock e read 0 0

== who holds a lock on another node
file f 644 x*100
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: lock d write 10 10
root@b: getlock e write 0 0 = write 10 10 root@a # two: write 10 10 nobody known, pids-between-nodes
root@b: getlock e write 0 5 = free
root@a: lock d read 10 10
root@b: getlock e read 0 0 = free

== a process's own locks join and split
file f 644 x*100
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: lock d write 0 10
root@a: lock d write 10 10
root@a: lock d unlock 5 10
root@b: lock e write 5 10
root@b: lock e write 4 1 = EAGAIN
root@b: lock e write 15 1 = EAGAIN
root@a: lock d read 0 5
root@b: lock e read 0 5
root@b: lock e write 0 5 = EAGAIN

== any close by the process gives up its locks
file f
root@a: d=open f rdwr
root@a: x=open f rdonly
root@b: e=open f rdwr
root@a: lock d write 0 0
root@b: lock e write 0 1 = EAGAIN
root@a: close x
root@b: lock e write 0 1

== locks that cannot be
file f
root@a: d=open f rdonly
root@a: lock d write 0 0 = EBADF
root@a: lock d read 0 0
root@a: w=open f wronly
root@a: lock w read 0 0 = EBADF
root@a: lock d bad 0 0 = EINVAL
root@a: lock d read -1 5 = EINVAL
root@a: lock d read 0 -1 = EINVAL
root@a: lock d read 10 -5
root@a: lock nofd read 0 0 = EBADF
root@a: p=open f path
root@a: lock p read 0 0 = EBADF
root@a: flock p shared = EBADF
root@a: getlock d bad 0 0 = EINVAL
root@a: lock d read 9223372036854775807 1
root@a: lock d read 9223372036854775807 2 = EOVERFLOW

== a lock of a range waits for another node
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: lock d write 0 10
root@b: &lock e write 5 10 wait
root@b: blocked
root@a: lock d unlock 0 10
root@b: wait = ok
root@a: lock d write 0 10 = EAGAIN

== a lock of a range waits within a node and is interrupted
file f
root@a: d=open f rdwr
alice@a: e=open f rdonly
root@a: lock d write 0 10
alice@a: &lock e read 5 10 wait
alice@a: blocked
alice@a: interrupt
alice@a: wait = EINTR
alice@a: &lock e read 5 10 wait
alice@a: blocked
root@a: close d
alice@a: wait = ok

== a lock of a range on another node is interrupted
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: lock d write 0 10
root@b: &lock e write 5 10 wait
root@b: blocked
root@b: interrupt
root@b: wait = EINTR

== two in a circle within a node
file f
chmod f 666
root@a: d=open f rdwr
alice@a: e=open f rdwr
root@a: lock d write 0 1
alice@a: lock e write 1 1
root@a: &lock d write 1 1 wait
root@a: blocked
alice@a: lock e write 0 1 wait = EDEADLK
alice@a: lock e unlock 1 1
root@a: wait = ok

== open files in a circle within a node
file f
chmod f 666
root@a: d=open f rdwr
alice@a: e=open f rdwr
root@a: ofdlock d write 0 1
alice@a: ofdlock e write 1 1
root@a: &ofdlock d write 1 1 wait
root@a: blocked
alice@a: &ofdlock e write 0 1 wait
alice@a: blocked
alice@a: interrupt
alice@a: wait = EINTR
alice@a: ofdlock e unlock 1 1
root@a: wait = ok

== three in a circle within a node, over two files
file f
file g
chmod f 666
chmod g 666
root@a: d=open f rdwr
root@a: dg=open g rdwr
alice@a: e=open f rdwr
alice@a: eg=open g rdwr
bob@a: h=open f rdwr
bob@a: hg=open g rdwr
root@a: lock d write 0 1
alice@a: lock e write 1 1
bob@a: lock hg write 0 1
root@a: &lock d write 1 1 wait
root@a: blocked
alice@a: &lock eg write 0 1 wait
alice@a: blocked
bob@a: lock h write 0 1 wait = EDEADLK
bob@a: close hg
alice@a: wait = ok
alice@a: lock e unlock 0 0
root@a: wait = ok

== a killed holder leaves no lock of a range
file f
chmod f 666
bob@a: d=open f rdwr
root@b: e=open f rdwr
bob@a: lock d write 0 10
root@b: &lock e write 0 0 wait
root@b: blocked
bob@a: die
root@b: wait = ok

== locks of open files
file f
root@a: d=open f rdwr
root@a: x=open f rdwr
root@b: e=open f rdwr
root@a: ofdlock d write 0 10
root@a: ofdlock x read 5 10 = EAGAIN
root@b: ofdlock e read 5 10 = EAGAIN
root@a: lock d write 0 5 = EAGAIN
root@a: y=open f rdonly
root@a: close y
root@b: ofdlock e read 5 10 = EAGAIN
root@a: z=dup d
root@a: close d
root@b: ofdlock e read 5 10 = EAGAIN
root@a: close z
root@b: ofdlock e write 5 10 wait
root@a: getlock x write 0 0 ofd = write 5 10 an open file

== a lock of an open file waits and is interrupted
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: ofdlock d write 0 10
root@b: &ofdlock e write 5 10 wait
root@b: blocked
root@b: interrupt
root@b: wait = EINTR
root@b: &ofdlock e write 5 10 wait
root@b: blocked
root@a: close d
root@b: wait = ok

== the two kinds of locks do not meet
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: flock d exclusive
root@b: lock e write 0 0
root@a: x=open f rdwr
root@a: close x
root@b: flock e shared = EAGAIN

== locks of directories
mkdir d
root@a: d=open d rdonly
root@b: e=open d rdonly
root@a: flock d exclusive
root@b: flock e shared = EAGAIN # two: ok, locks-of-directories
root@a: flock d unlock
root@b: flock e exclusive
root@a: lock d write 0 0 = EBADF

== a locked file that is removed
file f
root@a: d=open f rdwr
root@b: e=open f rdwr
root@a: lock d write 0 0
root@b: unlink f
root@b: lock e write 0 0 = EAGAIN
root@b: file f
root@b: g=open f rdwr
root@b: lock g write 0 0
root@a: close d
root@b: lock e write 0 0
`);
