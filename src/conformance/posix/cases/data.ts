/**
 * read(2), write(2) and their kin, truncate(2), fallocate(2), lseek(2), copy_file_range(2), sendfile(2), splice(2), fsync(2).
 */
import { table } from "../case-text.js";

export const data = table(`
== written and read
d=open f rdwr,creat 644
write d hello
lseek d 0 set
read d 3
read d 10
read d 10 = nothing
lseek d 0 cur
pwrite d X 1
pread d 10 0
lseek d 100 set
write d far
stat f size
pread d 200 0
writev d one two
pread d 6 103
lseek d 0 set
readv d 2 3
write d - 
fsync d

== nothing written changes nothing
file f 644 text
d=open f rdwr
pwrite d {x*0} 100
stat f size
read d 0 = nothing
ftruncate d 4
pread d 0 100 = nothing

== what one node writes the other reads
root@a: d=open f rdwr,creat 644
root@b: e=open f rdwr
root@a: pwrite d first 0
root@b: pread e 10 0
root@b: pwrite e SECOND 0
root@a: pread d 10 0
root@a: pwrite d third 100
root@b: pread e 200 0
root@b: ftruncate e 3
root@a: pread d 10 0
root@a: stat @d size
root@a: lseek d 0 end
root@b: pwrite e x*10000 0
root@a: lseek d 0 end
root@a: pread d 20000 0

== pages that one node has read and the other changes
root@a: file f 644 a*20000
root@b: d=open f rdonly
root@b: pread d 20000 0
root@a: e=open f wronly
root@a: pwrite e b*100 8192
root@b: pread d 20000 0
root@a: pwrite e c 19999
root@b: pread d 10 19995
root@a: ftruncate e 10000
root@b: pread d 20000 0
root@a: ftruncate e 20000
root@b: pread d 20000 0
root@a: fallocate e punch 0 4096
root@b: pread d 5000 0
root@a: fallocate e zero 4000 1000
root@b: pread d 6000 0

== large writes of odd sizes
d=open f rdwr,creat 644
pwrite d a*300001 3
pwrite d b*131073 299999
pread d 500000 0
root@a: cat f
root@b: cat f
stat f size

== offsets refused
d=open f rdwr,creat 644
pread d 10 -1 = EINVAL
pwrite d x -1 = EINVAL
lseek d -1 set = EINVAL
lseek d 0 bad = EINVAL
write d text
lseek d -10 end = EINVAL
lseek d -2 end
read d 5
lseek d 0 data
mknod p fifo 666
root@a: r=open p rdonly,nonblock
root@a: lseek r 0 set = ESPIPE
root@a: pread r 1 0 = ESPIPE
ftruncate d -1 = EINVAL
truncate f -1 = EINVAL
write nofd x = EBADF
read nofd 1 = EBADF

== the farthest bytes
d=open f rdwr,creat 644
pwrite d x 4294967296
stat f size
pread d 3 4294967295
pwrite d x 1099511627776
stat f size
ftruncate d 17592186040320
stat f size
ftruncate d 0
ftruncate d 17592186044416 = EFBIG
pwrite d x 17592186044416 = EFBIG
ftruncate d 4611686018427387904 = EFBIG
truncate f 9223372036854775807 = EFBIG
pwrite d x 9223372036854775806 = EFBIG
pread d 10 9223372036854775000 = nothing
lseek d 9007199254740992 set = EINVAL # mount: 9007199254740992, largest-offset
fallocate d plain 17592186044416 10 = EFBIG
stat f size

== appends at a place
d=open f rdwr,creat 644
write d text
pwritev2 d more 0 append
pwritev2 d AT 0 -
pread d 20 0
pwritev2 d sync 4 sync
pwritev2 d x 0 bad = EOPNOTSUPP
lseek d 0 cur

== truncate
file f 644 0123456789
truncate f 4
cat f
truncate f 8
cat f
truncate f 8
root@a: truncate f 100000
root@b: stat f size
root@b: truncate f 3
root@a: cat f
d=open f rdwr
ftruncate d 5
cat f
truncate f 0
stat f
ftruncate d 0

== truncate refused
file f 644
mkdir d
mknod p fifo 666
symlink f s
truncate d 0 = EISDIR
truncate n 0 = ENOENT
truncate f/x 0 = ENOTDIR
truncate p 0 = EINVAL
alice: truncate f 0 = EACCES
truncate s 3
stat f size
symlink l l
truncate l 0 = ELOOP
truncate {n*256} 0 = ENAMETOOLONG
truncate empty 0 = ENOENT
mkdir e 700
file e/f 666
alice: truncate e/f 0 = EACCES
q=open d rdonly
ftruncate q 0 = EINVAL
r=open p rdonly,nonblock
ftruncate r 0 = EINVAL
ftruncate nofd 0 = EBADF

== fallocate
d=open f rdwr,creat 644
fallocate d plain 0 10000
stat f size
fallocate d keep 0 50000
stat f size blocks
pwrite d x*10000 0
fallocate d punch 1000 5000
pread d 10000 0
stat f size
fallocate d zero 8000 1000
pread d 10000 0
fallocate d zero 9000 9000
stat f size
fallocate d zerokeep 20000 9000
stat f size
root@a: fallocate d plain 100 50000
root@b: stat f size

== fallocate refused
d=open f rdwr,creat 644
write d text
fallocate d plain -1 10 = EINVAL
fallocate d plain 0 0 = EINVAL
fallocate d plain 0 -1 = EINVAL
fallocate d punchalone 0 10 = EOPNOTSUPP
fallocate d bad 0 10 = EOPNOTSUPP
mkdir dir
e=open dir rdonly
fallocate e plain 0 10 = EBADF
mknod p fifo 666
p=open p rdwr
fallocate p plain 0 10 = ESPIPE
fallocate nofd plain 0 10 = EBADF
r=open f rdonly
fallocate r plain 0 10 = EBADF

== ranges taken out and put in
d=open f rdwr,creat 644
pwrite d a*4096 0
pwrite d b*4096 4096
pwrite d c*4096 8192
fallocate d collapse 4096 4096 = ok # mount+tree: EOPNOTSUPP, collapse-and-insert
stat f size = 8192 # mount: 12288, collapse-and-insert
fallocate d insert 4096 4096 = ok # mount+tree: EOPNOTSUPP, collapse-and-insert
stat f size

== data and holes
d=open f rdwr,creat 644
pwrite d x*4096 40960
lseek d 0 data
lseek d 0 hole
lseek d 40960 hole
lseek d 41000 data
lseek d 45056 data = ENXIO
lseek d 45056 hole = ENXIO
ftruncate d 100000
lseek d 45056 data = ENXIO
lseek d 45056 hole
lseek d 100000 hole = ENXIO
lseek d -1 data = ENXIO
fsync d
root@a: pwrite d y*4096 81920
root@b: e=open f rdonly
root@b: lseek e 50000 data
root@b: lseek e 81920 hole
root@b: lseek e 200000 data = ENXIO
mkdir dir
g=open dir rdonly
lseek g 0 set

== copy_file_range within one file system
file f 644 0123456789
file g 644 abcdefghij
root@a: from=open f rdonly
root@a: to=open g rdwr
root@a: copy_file_range from 2 to 5 4
root@b: cat g
root@a: copy_file_range from 0 to 20 100
root@b: cat g
root@a: copy_file_range from 10 to 0 5 = 0
root@a: copy_file_range from 100 to 0 5 = 0
root@a: copy_file_range to 0 to 40 10
root@b: cat g
root@a: copy_file_range to 0 to 5 10 = EINVAL
root@a: copy_file_range to 0 from 0 5 = EBADF
root@a: wo=open f wronly
root@a: copy_file_range wo 0 to 0 5 = EBADF
root@a: ap=open g wronly,append
root@a: copy_file_range from 0 ap 0 5 = EBADF
root@a: mkdir d
root@a: dir=open d rdonly
root@a: copy_file_range dir 0 to 0 5 = EISDIR
root@a: copy_file_range from 0 to 0 0 = 0

== copy_file_range of much
root@a: d=open f rdwr,creat 644
root@a: pwrite d a*700000 0
root@a: e=open g rdwr,creat 644
root@a: copy_file_range d 0 e 0 700000
root@b: cat g
root@a: copy_file_range d 1 e 3 699999
root@b: stat g size

== sendfile and splice
file f 644 0123456789
root@a: d=open f rdwr
root@a: e=open g rdwr,creat 644
root@a: sendfile e d 2 5
root@b: cat g
root@a: splice_out d 3 4
root@a: splice_in e 3 SPLICED
root@b: cat g
root@b: h=open f rdwr
root@b: pwrite h abc 3
root@a: splice_out d 3 4 = abc6 # unseen: 3456, spliced-pages
root@a: sendfile e d 0 100
root@a: splice_out d 100 4 = nothing
root@a: ap=open f wronly,append
root@a: splice_in ap 0 x = EINVAL
root@a: ro=open f rdonly
root@a: splice_in ro 0 x = EBADF

== reading ahead and advice
file f 644 x*100000
d=open f rdonly
readahead d 0 50000
fadvise d sequential
fadvise d random
fadvise d willneed
fadvise d dontneed
fadvise d bad = EINVAL
pread d 10 50000

== syncing
d=open f rdwr,creat 644
write d text
fsync d
fdatasync d
sync_file_range d 0 0
syncfs d
mkdir dir
e=open dir rdonly
fsync e
fdatasync e
r=open f rdonly
fsync r
mknod p fifo 666
p=open p rdwr,nonblock
fsync p = EINVAL
fsync nofd = EBADF
q=open f path
fsync q = EBADF

== a file that another node replaced while it was open
file f 644 old-content
root@a: d=open f rdonly
root@a: pread d 20 0
root@b: file g 644 new
root@b: rename g f
root@a: pread d 20 0
root@a: cat f

== many descriptors of one file share what is written
root@a: a=open f rdwr,creat 644
root@a: b=open f rdonly
root@b: c=open f rdwr
root@b: d=open f wronly
root@a: write a 1
root@b: pwrite d 2 1
root@b: pwrite c 3 2
root@a: pread b 10 0
root@b: close d
root@a: write a X
root@b: pread c 10 0

== a duplicated descriptor shares its offset
file f 644 0123456789
d=open f rdwr
e=dup d
read d 3
read e 3
lseek e 0 set
read d 2
close d
read e 2

== truncation under an appender
root@a: a=open f wronly,append,creat 644
root@a: write a 0123456789
root@b: truncate f 2
root@a: write a X
root@b: cat f
root@b: open f wronly,trunc
root@a: write a Y
root@b: cat f
`);
