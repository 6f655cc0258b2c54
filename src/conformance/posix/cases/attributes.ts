/**
 * chmod(2), chown(2), utimensat(2), access(2), statfs(2) and set-id bits.
 */
import { table } from "../case-text.js";

export const attributes = table(`
== chmod
file f 644
mkdir d
chmod f 7777
stat f mode
chmod f 000
stat f mode
chmod d 1750
stat d mode
root@a: chmod f 640
root@b: stat f mode
d=open f rdonly
fchmod d 600
stat f mode
symlink f s
chmod s 611
stat f mode
lstat s mode
mknod p fifo 600
chmod p 622
stat p mode

== chmod refused
file f
chmod n 644 = ENOENT
chmod n/x 644 = ENOENT
chmod f/x 644 = ENOTDIR
chmod {n*256} 644 = ENAMETOOLONG
chmod empty 644 = ENOENT
symlink l l
chmod l 644 = ELOOP
fchmod nofd 644 = EBADF
alice: chmod f 644 = EPERM
mkdir d 700
file d/f
alice: chmod d/f 644 = EACCES
symlink nowhere s
chmod s 644 = ENOENT

== chmod by its owner
alice: file f 644
bob: chmod f 666 = EPERM
alice: chmod f 600
alice: stat f mode
alice: d=open f rdonly
chown f 3002 3002
alice: fchmod d 777 = EPERM
bob: chmod f 666

== the set-gid bit is for members of the group
alice: file f 644
chown f 3001 3003
alice: chmod f 2755
stat f mode
alice: chmod f 6755
stat f mode
chown f 3001 3500
alice: chmod f 6755
stat f mode
alice: mkdir d
chown d 3001 3003
alice: chmod d 2755
stat d mode
chmod f 6777
stat f mode

== the sticky bit of a file
alice: file f 644
alice: chmod f 1644
stat f mode
chmod f 1755
stat f mode

== chown by root
file f
mkdir d
symlink f s
chown f 3001 3002
stat f uid gid
chown f -1 3500
stat f uid gid
chown f 0 -1
stat f uid gid
chown s 3002 3002
stat f uid gid
lstat s uid gid
lchown s 3003 3003
lstat s uid gid
stat f uid gid
d=open f rdonly
chown @d 3001 3001
stat f uid gid
chown f 4294967294 4294967294
stat f uid gid
chown f -1 -1
chown d 3001 3001

== chown refused
file f
chown n 1 1 = ENOENT
chown f/x 1 1 = ENOTDIR
chown {n*256} 1 1 = ENAMETOOLONG
symlink l l
chown l 1 1 = ELOOP
chown n/x 1 1 = ENOENT
alice: chown f 3001 -1 = EPERM
alice: chown f -1 3001 = EPERM
mkdir d 700
file d/f
alice: chown d/f 3001 3001 = EACCES
symlink nowhere s
chown s 1 1 = ENOENT
chown @nofd 1 1 = EBADF

== chown by the owner
alice: file f
alice: chown f 3001 3500
stat f uid gid
alice: chown f -1 3501
stat f uid gid
alice: chown f -1 3003 = EPERM
alice: chown f 3002 -1 = EPERM
alice: chown f 3001 3001
alice: chown f -1 -1
bob: chown f -1 3500 = EPERM
bob: chown f -1 -1
alice: chown f 3001 -1

== chown clears set-id bits
file f
chmod f 6755
chown f 3001 3001
stat f mode
chmod f 6755
chown f -1 -1
stat f mode
chmod f 6755
chown f -1 3500
stat f mode
chmod f 6644
chown f 3001 3001
stat f mode
mkdir d
chmod d 6755
chown d 3001 3500
stat d mode
chmod f 6755
alice: chown f -1 3501
stat f mode
chmod f 2745
alice: chown f -1 3500
stat f mode
chmod f 2755
alice: chown f -1 -1
stat f mode

== a write clears set-id bits
file f 666 text
chmod f 6777
alice: d=open f wronly
alice: write d x
stat f mode
chmod f 6766
alice: write d y
stat f mode
chmod f 2777
alice: write d z
stat f mode
chmod f 6777
e=open f wronly
write e root
stat f mode
chmod f 1777
alice: write d w
stat f mode

== a write on one node clears set-id bits seen on the other
file f 666 text
chmod f 6777
alice@a: d=open f wronly
alice@b: stat f mode
alice@a: pwrite d x 0
alice@b: stat f mode
root@b: chmod f 6777
alice@a: pwrite d x 0
root@b: stat f mode
root@b: chmod f 4755
root@b: stat f mode

== truncation clears set-id bits
file f 666 text
chmod f 6777
alice: truncate f 2
stat f mode
chmod f 6777
alice: truncate f 2
stat f mode
chmod f 6777
alice: open f wronly,trunc
stat f mode
chmod f 6777
alice: open f wronly,trunc
stat f mode
chmod f 6777
alice: d=open f wronly
alice: ftruncate d 10
stat f mode
chmod f 6777
truncate f 3
stat f mode
chmod f 6777
open f wronly,trunc
stat f mode

== fallocate and copy_file_range clear set-id bits
file f 666 text
file g 666 source
chmod f 6777
alice: d=open f rdwr
alice: fallocate d plain 0 100
stat f mode
chmod f 6777
alice: fallocate d punch 0 10
stat f mode
chmod f 6777
root@a: x=open f rdwr
root@a: fallocate x plain 0 200
stat f mode
chmod f 6777
alice@a: from=open g rdonly
alice@a: to=open f rdwr
alice@a: copy_file_range from 0 to 0 6
stat f mode
chmod f 6777
alice@a: sendfile to from 0 6
stat f mode
chmod f 6777
alice@a: splice_in to 0 data
stat f mode

== a mapped store and set-id bits
file f 666 {x*100}
alice@a: d=open f rdwr
alice@a: m=mmap d shared rw 0 4096
chmod f 6777
alice@a: store m 0 changed # tree: times-of-mapped-stores
alice@a: msync m # tree: times-of-mapped-stores
cat f
alice@a: munmap m
alice@a: close d

== extended attributes do not clear set-id bits
file f 666
chmod f 6777
alice: setxattr f user.k v
stat f mode

== times set to the nanosecond
file f
utimens f 1.000000001 2.999999999
stat f atime mtime
root@a: utimens f 1234567890.123456789 987654321.987654321
root@b: stat f atime mtime
utimens f 0 0
stat f atime mtime
mkdir d
utimens d 5.5 6.25
stat d atime mtime
symlink f s
lutimens s 7 8
lstat s atime mtime
stat f atime mtime
utimens s 9 10
stat f atime mtime
d=open f rdonly
utimens @d 11.000000011 12
stat f atime mtime

== times beyond 2038 and before 1970
file f
utimens f 2147483648.5 4294967296.25
stat f atime mtime
utimens f 4294967295 8589934592
stat f atime mtime
utimens f 15032385535 15032385534.999999999
stat f atime mtime
utimens f 15032385536 99999999999
stat f atime mtime
utimens f -1 -2147483648
stat f atime mtime
utimens f -0.5 -3000000000
stat f atime mtime

== times of now and times left
file f
utimens f 5 6
utimens f omit 7
stat f atime mtime
utimens f 8 omit
stat f atime mtime
utimens f omit omit
stat f atime mtime
utimens f now omit
stat f mtime
utimens f 5 now
stat f atime
utimens f now now
alice: file g
alice: utimens g 1 2
alice: utimens g now now
alice: utimens g omit omit

== times refused
file f 666
mkdir d 700
file d/f
utimens n 1 2 = ENOENT
utimens f/x 1 2 = ENOTDIR
utimens f bad 1 = EINVAL
utimens f 1 bad = EINVAL
alice: utimens f 1 2 = EPERM
alice: utimens f now now
alice: utimens f now omit = EPERM
alice: utimens f omit now = EPERM
alice: utimens f omit omit
chmod f 644
alice: utimens f now now = EACCES
alice: utimens d/f now now = EACCES
symlink l l
utimens l 1 2 = ELOOP
utimens {n*256} 1 2 = ENAMETOOLONG
symlink nowhere s
utimens s 1 2 = ENOENT
alice: lutimens s 1 2 = EPERM
alice: d=open f rdonly
alice: utimens @d 1 2 = EPERM

== times set on one node are there on the other, whatever was written before
root@a: d=open f rdwr,creat 644
root@a: write d text
root@b: utimens f 100 200
root@a: stat f atime mtime
root@a: write d more
root@b: utimens f 300 400
root@a: close d
root@b: stat f atime mtime
root@a: stat f atime mtime

== access
file f 640
chown f 3001 3500
mkdir d 710
chown d 3001 3500
access f exists
access n exists = ENOENT
access f/x exists = ENOTDIR
access f read,write
access f execute = EACCES
alice: access f read,write
bob: access f read
bob: access f write = EACCES
carol: access f read = EACCES
carol: access f exists
carol: access d/x exists = EACCES
bob: access d/x exists = ENOENT
bob: access d read = EACCES
bob: eaccess d execute
chmod f 001
access f execute
alice: access f execute = EACCES
carol: access f execute
symlink l l
access l exists = ELOOP
access {n*256} exists = ENAMETOOLONG
chmod f 666
carol: access f read,write

== the file system's numbers
statfs .
file f
statfs f
statfs n = ENOENT
statfs f/x = ENOTDIR
alice: statfs .
symlink f s
statfs s

== stat follows and does not
file f 644 text
symlink f s
symlink nowhere n
stat s
lstat s
stat n = ENOENT
lstat n
stat f/ = ENOTDIR
stat f/. = ENOTDIR
stat . type
stat .. type
mkdir d
symlink d sd
lstat sd
lstat sd/
stat d/../f
mkdir p 000
alice: stat p
alice: stat p/x = EACCES
d=open f rdonly
unlink f
stat @d

== blocks
file f 644 x*10000
d=open f rdwr
fsync d
stat f size blocks
truncate f 1000000
stat f size blocks
truncate f 0
stat f size blocks
stat f blksize

== inode flags
file f 644 text
d=open f rdwr
getflags d
setflags d nodump
getflags d
statflags f = nodump # mount: none, statx-flags
mkdir dir
e=open dir rdonly
getflags e
setflags e noatime
getflags e
alice: file g
alice: h=open g rdonly
alice: setflags h nodump
alice: getflags h
bob: i=open g rdonly
bob: setflags i nodump = EPERM
alice: setflags h immutable = EPERM
ioctl d 0x5401 = ENOTTY

== what is immutable stays
file f 644 text
mkdir d
file d/x
u=open f rdonly
setflags u immutable
open f wronly = EPERM
open f rdonly
unlink f = EPERM
rename f g = EPERM
link f g = EPERM
chmod f 600 = EPERM
chown f 1 1 = EPERM
utimens f 1 2 = EPERM
utimens f now now = EPERM
truncate f 0 = EPERM
setxattr f user.k v = EPERM
cat f
access f write = EPERM # mount: ok, immutable-access
setflags u none
v=open d rdonly
setflags v immutable
unlink d/x = EPERM
open d/y wronly,creat = EPERM
mkdir d/y = EPERM
rename d/x y = EPERM
rmdir d = EPERM
file d/x 644 new
setflags v none
unlink d/x

== what may only grow
file f 644 text
u=open f rdonly
setflags u append
open f wronly = EPERM
d=open f wronly,append
write d more
truncate f 0 = EPERM
ftruncate d 0 = EPERM
open f wronly,append,trunc = EPERM
unlink f = EPERM
rename f g = EPERM
utimens f 1 2 = EPERM
utimens f now now
chmod f 600 = EPERM
cat f
setflags u none
unlink f
`);
