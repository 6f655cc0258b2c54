/**
 * rename(2), renameat2(2): all mixtures of what is moved and what is there, flags, permissions, and what it does to times.
 */
import { table } from "../case-text.js";

/** What a name can be, and how it is made; a directory with something in it apart. */
const kinds: Readonly<Record<string, string>> = {
  file: "file NAME 644 NAME", directory: "mkdir NAME", full: "mkdir NAME\nfile NAME/inside", symlink: "symlink nowhere NAME", fifo: "mknod NAME fifo", device: "mknod NAME character 600 1 3", socket: "mknod NAME socket",
};
const isDirectory = (kind: string) => kind === "directory" || kind === "full";

/** Every kind over every kind. */
const mixtures = Object.keys(kinds).flatMap((from) => Object.keys(kinds).map((to) => {
  const made = (kind: string, name: string) => kinds[kind]!.replaceAll("NAME", name);
  const expected = isDirectory(from) ? (!isDirectory(to) ? " = ENOTDIR" : to === "full" ? " = ENOTEMPTY" : "") : isDirectory(to) ? " = EISDIR" : "";
  return `== ${from} over ${to}
${made(from, "one")}
${made(to, "two")}
rename one two noreplace = EEXIST
rename one two${expected}
lstat two
lstat one${expected === "" ? " = ENOENT" : ""}
list .
`;
})).join("");
const exchanges = Object.keys(kinds).flatMap((from) => Object.keys(kinds).filter((to) => to >= from).map((to) => {
  const made = (kind: string, name: string) => kinds[kind]!.replaceAll("NAME", name);
  return `== ${from} and ${to} exchanged between directories
mkdir x
mkdir y
${made(from, "x/one")}
${made(to, "y/two")}
rename x/one y/two exchange
lstat x/one
lstat y/two
list x
list y
stat x nlink
stat y nlink
`;
})).join("");

export const renaming = table(`
== a file gets another name
file f 644 text
rename f g
cat g
stat f = ENOENT
root@a: stat g
root@b: stat g
mkdir d
rename g d/h
cat d/h
list .

== a name over another of the same file does nothing
file f 644 text
link f g
rename f g
list .
stat f nlink
rename f f
rename f g noreplace = EEXIST
mkdir d
rename d d

== renaming what is open
file f 644 text
root@a: d=open f rdwr
root@b: rename f g
root@a: pwrite d more 4
root@a: stat @d
root@b: cat g
root@a: rename g h
root@a: read d 10
file i 644 other
root@b: rename i h
root@a: stat @d nlink
root@a: pread d 10 0
root@a: cat h

== what is open and replaced lives on
file one 644 first
file two 644 second
root@a: d=open two rdwr
root@b: e=open two rdonly
root@a: rename one two
root@a: stat @d nlink
root@b: stat @e nlink
root@b: pread e 10 0
root@a: pwrite d THIRD 0
root@b: pread e 10 0
root@b: cat two

== a directory is moved with all in it
mkdir d
mkdir d/e
file d/e/f 644 deep
mkdir x
root@b: rename d/e x/y
root@a: cat x/y/f
root@a: stat d nlink
root@a: stat x nlink
root@a: stat x/y/.. type
rename x/y/f x/f
list x

== a current directory that moves
mkdir d
mkdir e
root@a: chdir d
root@b: rename d e/d
root@a: file f 644 here
root@b: cat e/d/f
root@a: cat f
root@a: list .. = ..:directory .:directory d:directory # unseen: ..:directory .:directory e:directory, moved-directories

== into itself
mkdir d
mkdir d/e
rename d d/x = EINVAL
rename d d/e = EINVAL
rename d d/e/x = EINVAL
rename d/e d = ENOTEMPTY
rename d d/e exchange = EINVAL
rename d/e d exchange = EINVAL
rename d . = EBUSY
rename . d = EBUSY
rename d/. x = EBUSY
rename d/.. x = EBUSY
rename d ./.. = EBUSY

== names that are not there
file f
rename n f = ENOENT
rename n m = ENOENT
rename f n/x = ENOENT
rename n/x f = ENOENT
rename f/x y = ENOTDIR
rename f f/x = ENOTDIR
rename empty x = ENOENT
rename f empty = ENOENT
rename {n*256} x = ENAMETOOLONG
rename f {n*256} = ENAMETOOLONG
symlink l l
rename l/x y = ELOOP
rename f l/x = ELOOP
rename f n exchange = ENOENT
rename n f exchange = ENOENT
rename @nofd/x y = EBADF

== slashes at the end
file f
mkdir d
rename f g/ = ENOTDIR
rename f/ g = ENOTDIR
rename d e/
rename e/ d
symlink d s
rename s/ t = ENOTDIR
rename d s/ = ENOTDIR
rename f d/ = ENOTDIR

== flags that are none
file f
file g
rename f g bad = EINVAL
rename f g noreplace,exchange = EINVAL
rename f h whiteout,exchange = EINVAL
rename f h noreplace
rename h g noreplace = EEXIST
alice: rename h i whiteout

== whiteout leaves a device behind
file f 644 text
rename f g whiteout
stat f type rdev
cat g

== exchange of open files
file f 644 one
file g 644 two
root@a: d=open f rdonly
root@b: e=open g rdonly
root@a: rename f g exchange
root@a: cat f
root@b: cat f
root@b: cat g
root@a: pread d 5 0
root@b: pread e 5 0
root@b: rename g f exchange
root@a: cat f

== without permission
mkdir d 755
mkdir e 777
file d/f
alice: file e/g
alice: rename d/f e/f = EACCES
alice: rename e/g d/g = EACCES
alice: rename d/f d/g = EACCES
mkdir p 700
file p/f
alice: rename p/f e/f = EACCES
alice: rename e/g p/g = EACCES
alice: rename e/g e/h

== in a sticky directory
mkdir t
chmod t 1777
mkdir e 777
alice: file t/alice
bob: file t/bob
bob: rename t/alice t/x = EPERM
bob: rename t/alice e/x = EPERM
bob: rename t/bob t/alice = EPERM
alice: rename t/bob t/alice exchange = EPERM
bob: file e/over
bob: rename e/over t/alice = EPERM
alice: rename t/alice t/moved
chown t 3002 3002
bob: rename t/moved t/taken
stat t/taken

== a directory that is not one's own into another parent
mkdir x 777
mkdir y 777
mkdir x/d 755
alice: rename x/d x/e
alice: rename x/e y/e = EACCES
chmod x/e 777
alice: rename x/e y/e
alice: mkdir x/own 755
alice: rename x/own y/own
stat x nlink
stat y nlink

== the set-gid bit and the group stay as they were
mkdir s
chown s 0 3500
chmod s 2777
alice: file f 640
alice: rename f s/f
stat s/f
alice: mkdir d 755
alice: rename d s/d
stat s/d

== a directory over an empty one, and times
mkdir x
mkdir y
mkdir x/d
mkdir y/e
file x/d/f
rename x/d y/e
list y/e
stat x nlink
stat y nlink
root@a: stat y/e nlink
root@b: stat y/e nlink

== long names
file {a*255}
rename {a*255} {b*255}
stat {b*255}
rename {b*255} %ff
list .

${mixtures}${exchanges}`);
