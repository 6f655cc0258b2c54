/**
 * mmap(2), msync(2), execve(2): files as memory and as programs.
 */
import { table } from "../case-text.js";

export const mapping = table(`
== a shared mapping shows the file and changes it
d=open f rdwr,creat 644
pwrite d a*10000 0
m=mmap d shared rw 0 10000
load m 0 10
store m 5 STORED # tree: times-of-mapped-stores
load m 0 20
msync m # tree: times-of-mapped-stores
pread d 20 0
pwrite d W 0
load m 0 3
munmap m
cat f

== a private mapping keeps its changes
file f 644 a*5000
d=open f rdonly
m=mmap d private rw 0 5000
store m 0 PRIVATE
load m 0 10
pread d 10 0
munmap m
cat f

== a mapping outlives its descriptor and the name
file f 644 a*5000
root@a: d=open f rdwr
root@a: m=mmap d shared rw 0 5000
root@a: close d
root@b: stat f size
root@a: store m 0 later # tree: times-of-mapped-stores
root@a: msync m # tree: times-of-mapped-stores
root@b: cat f
root@b: unlink f
root@a: load m 0 10
root@a: munmap m

== what one node stores and syncs the other sees
root@a: d=open f rdwr,creat 644
root@a: pwrite d a*8192 0
root@b: e=open f rdwr
root@a: m=mmap d shared rw 0 8192
root@a: store m 4096 NODE-A # tree: times-of-mapped-stores
root@a: msync m # tree: times-of-mapped-stores
root@b: pread e 8 4096
root@a: munmap m
root@b: n=mmap e shared r 0 8192
root@b: load n 4096 8
root@b: munmap n

== mappings refused
file f 644 text
mkdir d
r=open f rdonly
w=open f wronly
q=open d rdonly
mmap w shared r 0 4096 = EACCES
mmap r shared rw 0 4096 = EACCES
mmap r private rw 0 4096
mmap r shared r 1 4096 = EINVAL
mmap r shared r 0 0 = EINVAL
mmap q shared r 0 4096 = ENODEV
mmap nofd shared r 0 4096 = EBADF
mknod p fifo 666
p=open p rdwr
mmap p shared r 0 4096 = ENODEV
o=open f path
mmap o shared r 0 4096 = EBADF
m=mmap r shared r 0 4096
mprotect m rw = EACCES
munmap m

== beyond the end
file f 644 text
d=open f rdwr
m=mmap d shared rw 0 8192
load m 0 6
load m 4096 1 = EFAULT
store m 4096 x = EFAULT
ftruncate d 8192
load m 4096 2
ftruncate d 1
load m 4096 1 = EFAULT
load m 0 2
munmap m

== bytes past the end in the last page are nobody's
d=open f rdwr,creat 644
write d abc
m=mmap d shared rw 0 4096
store m 3 garbage # tree: times-of-mapped-stores
msync m # tree: times-of-mapped-stores
stat f size
ftruncate d 20
pread d 20 0
munmap m

== a mapping of a direct or an appending open
d=open f rdwr,creat,append 644
write d a*4096
m=mmap d shared rw 0 4096
store m 0 x # tree: times-of-mapped-stores
msync m # tree: times-of-mapped-stores
pread d 3 0
munmap m
e=open f rdwr,direct
m=mmap e shared rw 0 4096
store m 0 direct # tree: times-of-mapped-stores
msync m # tree: times-of-mapped-stores
munmap m
cat f

== a program runs
copy /bin/true f 755
root@a: exec ./f = exit 0
root@b: exec ./f = exit 0
alice: exec ./f = exit 0
chmod f 644
exec ./f = EACCES
chmod f 700
alice: exec ./f = EACCES
chmod f 711
alice: exec ./f = exit 0
mkdir d
exec ./d = EACCES
exec ./n = ENOENT
file script 755 #!/bin/sh%0aexit%207%0a
exec ./script = exit 7
alice: exec ./script = exit 7
file bad 755 #!/nowhere%0a
exec ./bad = ENOENT
symlink f s
exec ./s = exit 0

== what is executed is not written
copy /bin/sh f 777
root@a: &exec ./f -c :>started;until%20test%20-e%20stop;do%20sleep%200.02;done
alice@a: appears started
alice@a: open f wronly = ETXTBSY
alice@a: truncate f 0 = ETXTBSY
alice@a: open f rdonly
alice@a: file stop
root@a: wait = exit 0
alice@a: open f wronly

== what is open for writing is not executed
copy /bin/true f 755
root@a: d=open f wronly
root@a: exec ./f = ETXTBSY
root@a: close d
root@a: exec ./f = exit 0

== a program with set-id bits runs as its owner
copy /usr/bin/id f 755
chown f 3001 3001
chmod f 6755
bob: exec ./f = exit 0
stat f mode

== a new version of a program is what runs
copy /bin/true f 755
root@a: exec ./f = exit 0
root@b: copy /bin/false g 755
root@b: rename g f
root@a: exec ./f = exit 1
root@b: copy /bin/true f 755
root@a: exec ./f = exit 0
`);
