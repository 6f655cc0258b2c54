/**
 * open(2), creat(2), openat(2): flags, errnos, permissions, what a creation gives.
 */
import { table } from "../case-text.js";

export const opening = table(`
== creation gives mode, owner and zero size
open f wronly,creat 640
stat f
alice: open g rdwr,creat 604
alice: stat g

== the umask takes bits away
alice: umask 027
alice: open f wronly,creat 777
alice: mkdir d 777
alice: mknod p fifo 666
alice: symlink f s

== an existing name with O_EXCL
file f 644 x
open f rdwr,creat,excl 600 = EEXIST
mkdir d
open d rdonly,creat,excl 600 = EEXIST
symlink nowhere s
open s rdwr,creat,excl 600 = EEXIST
symlink s s2
open s2 wronly,creat,excl = EEXIST
mknod p fifo
open p rdwr,creat,excl = EEXIST

== O_CREAT of an existing file changes nothing
file f 644 text
open f rdwr,creat 600
stat f
cat f

== O_CREAT through a symbolic link that leads nowhere makes its target
symlink target s
open s wronly,creat 600
lstat s
lstat target

== O_TRUNC
file f 644 content
open f wronly,trunc
stat f
file e 644
open e wronly,trunc
stat e
open f rdonly,trunc
file g 444 abc
alice: open g rdonly,trunc = EACCES
cat g

== O_TRUNC of a file that others write
file f 644 0123456789
open f wronly,trunc
stat f

== O_APPEND writes at the end, wherever the offset is
file f 644 one
d=open f rdwr,append
write d two
lseek d 0 set
write d three
cat f
pwrite d four 0
cat f
lseek d 0 cur

== two appenders, one on each node
root@a: a=open f wronly,append,creat 644
root@b: b=open f wronly,append
root@a: write a 11
root@b: write b 222
root@a: write a 3333
root@b: write b 4
root@a: cat f
root@b: cat f

== O_APPEND set and taken later
file f 644 0123
d=open f rdwr
setfl d append
lseek d 0 set
write d x
setfl d -
lseek d 0 set
write d y
cat f

== O_DIRECTORY
file f
mkdir d
symlink d s
symlink f t
open f rdonly,directory = ENOTDIR
open d rdonly,directory
open s rdonly,directory
open s rdonly,directory,nofollow = ENOTDIR
open t rdonly,directory = ENOTDIR
open n rdonly,directory = ENOENT
open n rdonly,directory,creat 755 = EINVAL

== O_NOFOLLOW
file f 644 x
symlink f s
mkdir d
symlink d sd
file d/g
open s rdonly,nofollow = ELOOP
open f rdonly,nofollow
open sd/g rdonly,nofollow
open sd rdonly,nofollow = ELOOP
open s wronly,creat,nofollow = ELOOP

== O_PATH
file f 000 secret
alice: d=open f path
alice: stat @d
alice: read d 5 = EBADF
alice: write d x = EBADF
alice: fchmod d 644 = EBADF
alice: getfl d
alice: open proc:d rdonly = EACCES
symlink f s
e=open s path,nofollow
stat @e
readlink @e
root@b: close nofd = EBADF

== O_PATH opened again
file f 600 text
d=open f path
e=open proc:d rdwr
read e 10
write e more
cat f
mkdir dir
g=open dir path
open @g/x wronly,creat 644
list dir

== O_PATH of what has lost its name
file f 644 text
root@a: d=open f path
root@b: unlink f
stat @d
e=open proc:d rdonly
read e 10
link @d back = ENOENT
fchdir d = ENOTDIR

== O_TMPFILE
d=open . rdwr,tmpfile 640
stat @d
write d words
lseek d 0 set
read d 10
link proc:d named follow
stat named
cat named
alice: e=open . wronly,tmpfile 600
alice: link proc:e hers follow
stat hers
open . rdonly,tmpfile 600 = EINVAL
file f
open f rdwr,tmpfile 600 = ENOTDIR
open n rdwr,tmpfile 600 = ENOENT

== O_TMPFILE with O_EXCL gets no name
d=open . rdwr,tmpfile,excl 640
link proc:d named follow = ENOENT
write d words
stat @d

== O_TMPFILE in a directory one may not write
mkdir d 755
alice: open d rdwr,tmpfile 600 = EACCES

== O_TMPFILE takes the umask and the set-gid directory's group
mkdir d
chown d 3001 3500
chmod d 2777
umask 022
e=open d rdwr,tmpfile 666
stat @e
bob: umask 002
bob: g=open d rdwr,tmpfile 777
bob: stat @g

== O_DIRECT
d=open f rdwr,creat,direct 644
direct_write d x*4096 0
direct_write d y*8192 4096
direct_read d 4096 4096
direct_read d 8192 0
direct_read d 4096 12288
stat f size
cat f

== O_DIRECT and buffered opens of one file see each other
d=open f rdwr,creat,direct 644
e=open f rdwr
direct_write d a*4096 0
pread e 10 0
pwrite e bb 0
direct_read d 4096 0
direct_write d c*4096 0
pread e 4 0
root@a: x=open f rdwr,direct
root@b: y=open f rdonly
pread y 3 0
direct_write x d*4096 0
pread y 3 0

== O_SYNC and O_DSYNC
d=open f rdwr,creat,sync 644
write d text
e=open f rdwr,dsync
write e more
cat f

== O_NONBLOCK is nothing to a file
file f 644 text
d=open f rdonly,nonblock
read d 4
getfl d

== O_NOATIME belongs to the owner
file f 644 text
chown f 3001 3001
alice: open f rdonly,noatime
bob: open f rdonly,noatime = EPERM
open f rdonly,noatime

== a directory cannot be written
mkdir d
open d wronly = EISDIR
open d rdwr = EISDIR
open d rdonly,trunc = EISDIR
open d rdonly,creat = EISDIR
open d/ wronly,creat = EISDIR
d=open d rdonly
read d 10 = EISDIR
write d x = EBADF
pread d 10 0 = EISDIR

== names that are not there
open n rdonly = ENOENT
open n/m rdonly = ENOENT
open n/m wronly,creat 600 = ENOENT
symlink nowhere s
open s rdonly = ENOENT
open empty rdonly = ENOENT
open n/ wronly,creat = EISDIR

== what is no directory on the way
file f
open f/x rdonly = ENOTDIR
open f/x wronly,creat = ENOTDIR
open f/ rdonly = ENOTDIR
open f/. rdonly = ENOTDIR
open f/.. rdonly = ENOTDIR
d=open f rdonly
open @d/x rdonly = ENOTDIR
open @nofd/x rdonly = EBADF

== names too long, and just not
open {n*255} wronly,creat 644
stat {n*255}
open {n*256} wronly,creat 644 = ENAMETOOLONG
open {d/*2100} rdonly = ENAMETOOLONG
stat {n*256} = ENAMETOOLONG
list .

== loops of symbolic links
symlink s s
symlink b a
symlink a b
open s rdonly = ELOOP
open a rdonly = ELOOP
open a/x wronly,creat = ELOOP
lstat a

== forty links are followed, forty-one are not
file f0 644 end
symlink f0 f1
symlink f1 f2
symlink f2 f3
symlink f3 f4
symlink f4 f5
symlink f5 f6
symlink f6 f7
symlink f7 f8
cat f8

== permission to read and write
file f 640 text
chown f 3001 3500
alice: cat f
bob: open f rdonly
bob: open f wronly = EACCES
carol: open f rdonly = EACCES
chmod f 206
alice: open f rdonly = EACCES
alice: open f wronly
bob: open f rdwr = EACCES
carol: open f rdwr
chmod f 000
open f rdwr
alice: open f rdonly = EACCES

== permission to search and write the directory
mkdir d 700
chown d 3001 3001
alice: file d/f 666 x
bob: open d/f rdonly = EACCES
bob: stat d/f = EACCES
chmod d 711
bob: cat d/f
bob: open d/g wronly,creat 644 = EACCES
chmod d 733
bob: open d/g wronly,creat 644
bob: list d = EACCES
chmod d 666
bob: stat d/f = EACCES
bob: list d

== an open descriptor keeps its rights
file f 666 text
alice: d=open f rdwr
chmod f 000
chown f 0 0
alice: pread d 4 0
alice: pwrite d new 0
cat f

== a descriptor for reading cannot write, one for writing cannot read
file f 644 text
d=open f rdonly
write d x = EBADF
ftruncate d 0 = EINVAL
fallocate d plain 0 10 = EBADF
e=open f wronly
read e 4 = EBADF
pread e 4 0 = EBADF
getfl d
getfl e

== bad flags
file f
open f rdonly,trunc,append
mkdir d
open d rdonly,creat,directory = EINVAL

== fifos
mknod p fifo 666
root@a: r=open p rdonly,nonblock
root@a: w=open p wronly,nonblock
root@a: write w hello # tree: times-of-pipes
root@a: read r 10
mknod q fifo 666
open q wronly,nonblock = ENXIO
stat q

== devices and sockets
mknod null character 666 1 3
mknod sock socket 666
d=open null rdwr
write d gone
read d 10
open sock rdwr = ENXIO
stat null type mode rdev size
mknod b block 600 7 200
stat b type mode rdev

== sticky directories and O_CREAT of others' files
mkdir t
chmod t 1777
alice: file t/f 666 hers
bob: open t/f rdwr
bob: open t/f wronly,trunc
stat t/f

== set-gid directories give their group and their bit
mkdir d
chown d 0 3500
chmod d 2777
alice: file d/f 664
alice: mkdir d/sub 755
alice: mkdir d/sub/sub 755
alice: file d/sub/g 600
carol: file d/c 644
carol: mkdir d/cd 755

== a set-gid bit on a new file stays only for members of the group
mkdir d
chown d 0 3500
chmod d 2777
alice: open d/member wronly,creat 2775
carol: open d/stranger wronly,creat 2775
open d/root wronly,creat 2775
alice: open d/plain wronly,creat 6755
carol: mknod d/fifo fifo 2666
mkdir e 777
alice: open e/own wronly,creat 6755
alice: mkdir e/dir 3777

== O_CREAT in a directory that was removed
mkdir d
root@a: d=open d rdonly
root@b: rmdir d
open @d/x wronly,creat 644 = ENOENT
mkdir d
root@a: chdir d
root@b: rmdir d
root@a: open x wronly,creat 644 = ENOENT
root@a: mkdir x = ENOENT
root@a: list . = ENOENT

== a name made on one node is there on the other at once
root@b: stat f = ENOENT
root@a: open f wronly,creat 644
root@b: stat f
root@b: open f rdwr,creat,excl = EEXIST
root@a: unlink f
root@b: open f rdonly = ENOENT

== bytes of all kinds in names
open a%20b wronly,creat 644
open %ff%fe wronly,creat 644
open %0a%09 wronly,creat 644
open %c3%a4 wronly,creat 644
open %5c wronly,creat 644
open -rf wronly,creat 644
mkdir %01
open %01/%7f wronly,creat 600
list .
list %01
unlink %ff%fe
rename %c3%a4 %e4
list .

== the largest offset
open f wronly,creat 644
root@a: limit 100
root@a: d=open f rdwr
root@a: pwrite d x*200 0 = 100
root@a: pwrite d x 100 = EFBIG
root@a: ftruncate d 101 = EFBIG
root@a: truncate f 101 = EFBIG
root@a: fallocate d plain 0 200 = EFBIG # tree: times-of-refusals
root@a: limit none
root@a: pwrite d x 100
root@b: stat f size

== openat and its kin beneath a directory that moves
mkdir d
root@a: d=open d rdonly
root@b: rename d e
root@a: open @d/f wronly,creat 644
root@a: mkdir @d/sub 700
root@a: mknod @d/p fifo 600
root@a: symlink f @d/s
root@a: readlink @d/s
root@a: link @d/f @d/g
root@a: rename @d/g @d/h
root@a: chmod @d/h 600
root@a: chown @d/h 3001 3001
root@a: utimens @d/h 5 6
root@a: access @d/h read
root@a: stat @d/h
root@b: list e
root@a: unlink @d/h
root@a: rmdir @d/sub
root@a: open @d/../e/f rdonly
p=open e path
open @p/f rdonly
list @p/.

== addresses that are none
file f 644 text
d=open f rdwr
bad_read d 10 0 = EFAULT
bad_write d 10 0 = EFAULT # tree: times-of-refusals
stat f size
cat f

== O_DIRECT of odd places and sizes
d=open f rdwr,creat,direct 644
direct_write d x*4096 0
direct_read d 100 3 = EINVAL # mount: x*100, direct-alignment
direct_write d y*100 4096 = EINVAL # mount+tree: 100, direct-alignment

== changing into directories
mkdir d 711
mkdir d/e 755
mkdir p 700
file f
alice@a: chdir d
alice@a: chdir e
alice@a: chdir .
chdir f = ENOTDIR
chdir n = ENOENT
bob: chdir p = EACCES
bob@a: chdir d
bob@a: list . = EACCES
bob@a: stat e type
symlink l l
chdir l = ELOOP
chdir {n*256} = ENAMETOOLONG
q=open p rdonly
fchdir q
r=open f rdonly
fchdir r = ENOTDIR
fchdir nofd = EBADF

== other requests of files
file f 644 text
d=open f rdwr
fiemap d = 1 extents # mount: EOPNOTSUPP, extents
ioctl d 2 = ok
getfsx d
e=open . rdonly
getfsx e
setfsx d 0
preadv2 d 4 0 -
preadv2 d 4 0 nowait = text # mount: EOPNOTSUPP, no-wait
`);
