/**
 * Extended attributes and access control lists.
 */
import { table } from "../case-text.js";

export const extended = table(`
== attributes of users
file f 644
setxattr f user.key value
getxattr f user.key
root@a: setxattr f user.key other
root@b: getxattr f user.key
listxattr f
setxattr f user.empty {x*0}
getxattr f user.empty = nothing
setxattr f user.bytes %00%ff%01
getxattr f user.bytes
removexattr f user.key
getxattr f user.key = ENODATA
listxattr f
removexattr f user.key = ENODATA
mkdir d
setxattr d user.dir x
getxattr d user.dir
d=open f rdwr
fsetxattr d user.fd y
fgetxattr d user.fd
flistxattr d

== creating and replacing
file f
setxattr f user.k v create
setxattr f user.k w create = EEXIST
setxattr f user.k w replace
setxattr f user.n v replace = ENODATA
getxattr f user.k

== sizes of attributes
file f
setxattr f user.k x*1000
getxattr f user.k 0 = 1000
getxattr f user.k 10 = ERANGE
getxattr f user.k 1000
listxattr f 0
listxattr f 3 = ERANGE
setxattr f user.big x*3900 = ENOSPC
setxattr f user.k x*65536 = ENOSPC
setxattr f user.k x*65537 = E2BIG
setxattr f user.{n*250} v
getxattr f user.{n*250}
setxattr f user.{n*251} v = ERANGE
setxattr f user. v = EINVAL
setxattr f none.k v = EOPNOTSUPP
setxattr f k v = EOPNOTSUPP
getxattr f none.k = EOPNOTSUPP
getxattr f user.none = ENODATA

== attributes without permission
file f 600
setxattr f user.k v
alice: getxattr f user.k = EACCES
alice: setxattr f user.k w = EACCES
alice: listxattr f
alice: removexattr f user.k = EACCES
chmod f 644
alice: getxattr f user.k
alice: setxattr f user.k w = EACCES
chmod f 646
alice: setxattr f user.k w
mkdir d 700
file d/f
alice: getxattr d/f user.k = EACCES
r=open f rdonly
fsetxattr r user.k x
alice: q=open f rdonly
alice: fsetxattr q user.k y
file g 644
alice: g=open g rdonly
alice: fsetxattr g user.k y = EACCES

== attributes of what has none
symlink nowhere s
mknod p fifo 666
lsetxattr s user.k v = EPERM
lgetxattr s user.k = ENODATA
setxattr p user.k v = EPERM
getxattr p user.k = ENODATA
lsetxattr s trusted.k v
lgetxattr s trusted.k
llistxattr s
lremovexattr s trusted.k
setxattr s user.k v = ENOENT
setxattr n user.k v = ENOENT
file f
setxattr f/x user.k v = ENOTDIR
symlink l l
getxattr l user.k = ELOOP
getxattr {n*256} user.k = ENAMETOOLONG
listxattr n = ENOENT

== user attributes in a sticky directory belong to the owner
mkdir t
chmod t 1777
alice: setxattr t user.k v = EPERM
chmod t 777
alice: setxattr t user.k v
getxattr t user.k

== trusted attributes are for root
file f 666
setxattr f trusted.k v
getxattr f trusted.k
alice: getxattr f trusted.k = ENODATA
alice: setxattr f trusted.k w = EPERM
alice: removexattr f trusted.k = EPERM
listxattr f
alice: listxattr f

== security attributes
file f 666
setxattr f security.k v
getxattr f security.k
alice: getxattr f security.k
alice: setxattr f security.k w = EPERM
alice: removexattr f security.k = EPERM
alice: listxattr f
removexattr f security.k

== file capabilities go with a write
copy /bin/true f 777
setxattr f security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
getxattr f security.capability
alice: d=open f wronly
alice: pwrite d %7f 0
getxattr f security.capability = ENODATA
setxattr f security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
e=open f wronly
pwrite e %7f 0
getxattr f security.capability = ENODATA
setxattr f security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
chown f 3001 3001
getxattr f security.capability = ENODATA
setxattr f security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00
alice: truncate f 100
getxattr f security.capability = ENODATA
alice: setxattr f security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00 = EPERM

== our attributes are nobody's
file f 666
getxattr f trusted.sluice = ENODATA
listxattr f

== an access list grants and denies
file f 640 text
setacl f u::rw-,u:3001:r--,g::r--,m::r--,o::---
getacl f
stat f mode
alice: cat f
bob: open f rdonly = EACCES
alice: open f wronly = EACCES
setacl f u::rw-,u:3001:---,g::r--,m::r--,o::r--
alice: open f rdonly = EACCES
bob: cat f
root@a: setacl f u::rw-,g::---,g:3500:rw-,m::rw-,o::---
bob@b: open f rdwr
bob@a: open f rdwr
carol: open f rdonly = EACCES
chmod f 600
getacl f
bob: open f rdonly = EACCES
chmod f 660
bob: open f rdwr
removeacl f
getacl f = ENODATA
stat f mode
bob@b: open f rdonly = EACCES

== the mask bounds what a list grants
file f 600 text
setacl f u::rw-,u:3001:rwx,g::rwx,m::r--,o::---
stat f mode
alice: open f wronly = EACCES
alice: cat f
chmod f 670
getacl f
alice: open f rdwr

== lists refused
alice: file f 644
setacl f u::rw-,u:3001:r--,g::r--,o::--- = EINVAL
setacl f u::rw-,o::--- = EINVAL
bob: setacl f u::rw-,g::r--,o::--- = EPERM
alice: setacl f u::rw-,u:3002:rw-,g::r--,m::rw-,o::---
bob: open f rdwr
setacl f u::rwx,g::rwx,o::rwx default = EACCES
symlink f s
setacl s u::rw-,g::r--,o::r--
stat f mode
setacl n u::rw-,g::r--,o::r-- = ENOENT

== a minimal list is the mode
file f 644
setacl f u::rwx,g::r-x,o::--x
stat f mode
getacl f = ENODATA
listxattr f

== default lists are inherited
mkdir d 777
setacl d u::rwx,u:3001:rwx,g::r-x,m::rwx,o::--- default
getacl d default
umask 022
file d/f 666
getacl d/f
stat d/f mode
mkdir d/sub 777
getacl d/sub
getacl d/sub default
stat d/sub mode
alice: umask 077
alice: file d/hers 666
alice: getacl d/hers
stat d/hers
mknod d/p fifo 666
stat d/p mode
getacl d/p
symlink x d/s
lstat d/s
e=open d rdwr,tmpfile 666
stat @e mode
root@a: open d/late wronly,creat 640
root@b: getacl d/late
removeacl d default
file d/plain 666
stat d/plain mode
getacl d/plain = ENODATA

== a list takes the set-gid bit from strangers
alice: file f 755
chown f 3001 3003
chmod f 2755
alice: setacl f u::rwx,u:3002:r-x,g::r-x,m::r-x,o::---
stat f mode
chown f 3001 3500
chmod f 2755
alice: setacl f u::rwx,u:3002:r-x,g::r-x,m::r-x,o::---
stat f mode

== lists decide about directories
mkdir d 700
setacl d u::rwx,u:3001:rwx,u:3002:r-x,g::---,m::rwx,o::---
alice: file d/f 644 x
bob: cat d/f
bob: file d/g = EACCES
bob: list d
carol: list d = EACCES
setacl d u::rwx,u:3001:--x,g::---,m::rwx,o::---
alice: cat d/f
alice: list d = EACCES
alice: file d/g = EACCES
`);
