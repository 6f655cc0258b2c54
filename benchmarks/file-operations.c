/*
 * One kind of file operation in a loop, timed as a whole: what a program sees of a file system, without an interpreter's share.
 *
 * Usage: file-operations OPERATION DIR COUNT
 * Prints nanoseconds for each operation (for each entry, page or block of 128 KiB where an operation has many). What an
 * operation works on is made by "prepare" first: DIR/files/0..999, DIR/list/0..9999, DIR/data of 64 MiB, DIR/large of 256 MiB; files
 * and data alone by "prepare-small", for "look".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define FILES 1000
#define ENTRIES 10000
#define DATA (64L << 20)
#define LARGE (256L << 20)
#define BLOCK (128 << 10)

static char name[4096], other[4096], block[BLOCK] __attribute__((aligned(4096)));
static volatile unsigned long sink;

static void need(int holds, const char *what) {
  if (holds) return;
  perror(what);
  exit(1);
}
static long now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000L + at.tv_nsec;
}
static unsigned long drawn = 88172645463325252UL;
static unsigned long draw(void) {
  drawn ^= drawn << 13;
  drawn ^= drawn >> 7;
  return drawn ^= drawn << 17;
}
static void fill(const char *path, long size) {
  int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
  need(fd >= 0, path);
  for (long at = 0; at < size; at += BLOCK) {
    for (unsigned i = 0; i < BLOCK; i += 8) *(unsigned long *)(block + i) = draw();
    long length = size - at < BLOCK ? size - at : BLOCK;
    need(write(fd, block, length) == length, path);
  }
  need((size < DATA || fsync(fd) == 0) && close(fd) == 0, path);
}
static void prepare_small(const char *dir) {
  snprintf(name, sizeof name, "%s/files", dir);
  need(mkdir(name, 0755) == 0, name);
  for (int i = 0; i < FILES; i++) snprintf(name, sizeof name, "%s/files/%d", dir, i), fill(name, 4096);
  snprintf(name, sizeof name, "%s/data", dir), fill(name, DATA);
}
static void prepare(const char *dir) {
  prepare_small(dir);
  snprintf(name, sizeof name, "%s/list", dir);
  need(mkdir(name, 0755) == 0, name);
  for (int i = 0; i < ENTRIES; i++) {
    snprintf(name, sizeof name, "%s/list/%d", dir, i);
    int fd = open(name, O_CREAT | O_WRONLY, 0644);
    need(fd >= 0, name);
    close(fd);
  }
  snprintf(name, sizeof name, "%s/made", dir);
  need(mkdir(name, 0755) == 0, name);
  snprintf(name, sizeof name, "%s/large", dir), fill(name, LARGE);
}

static const char *dir;
static const char *file(int i) { return snprintf(name, sizeof name, "%s/files/%d", dir, i % FILES), name; }
static int process; /* of do_parallel; 0 elsewhere */
static const char *made(int i) { return snprintf(name, sizeof name, "%s/made/%d-%d", dir, process, i), name; }

/* Each does its operation COUNT times and gives how many units that were. */
static long do_stat(long count) {
  struct stat st;
  for (long i = 0; i < count; i++) need(stat(file(i), &st) == 0, name);
  return count;
}
static long do_open(long count) {
  for (long i = 0; i < count; i++) {
    int fd = open(file(i), O_RDONLY);
    need(fd >= 0, name);
    close(fd);
  }
  return count;
}
static long do_create(long count) {
  for (long i = 0; i < count; i++) {
    int fd = open(made(i), O_CREAT | O_EXCL | O_WRONLY, 0644);
    need(fd >= 0, name);
    close(fd);
  }
  return count;
}
/* What do_create changes meanwhile: the directory it makes files in, and a name that is not there. */
static long do_lookmade(long count) {
  struct stat at;
  for (long i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/made", dir);
    need(stat(name, &at) == 0, name);
    strcat(name, "/none");
    need(stat(name, &at) != 0, name);
  }
  return count;
}
static long do_unlink(long count) {
  for (long i = 0; i < count; i++) need(unlink(made(i)) == 0, name);
  return count;
}
static long do_rename(long count) {
  for (long i = 0; i < count; i++) {
    strcpy(other, file(i));
    strcat(other, ".new");
    need(rename(file(i), other) == 0 && rename(other, name) == 0, name);
  }
  return 2 * count;
}
static long do_list(long count) {
  long entries = 0;
  for (long i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/list", dir);
    DIR *stream = opendir(name);
    need(stream != NULL, name);
    struct stat st;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL; entries++) need(fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0, entry->d_name);
    closedir(stream);
  }
  return entries;
}
static long do_getxattr(long count) {
  for (long i = 0; i < count; i++) sink += getxattr(file(i), "user.bench", block, 256);
  return count;
}
static long do_setxattr(long count) {
  for (long i = 0; i < count; i++) need(setxattr(file(i), "user.bench", "some value", 10, 0) == 0, name);
  return count;
}
static int data(int flags) {
  snprintf(name, sizeof name, "%s/data", dir);
  int fd = open(name, flags);
  need(fd >= 0, name);
  return fd;
}
static long do_read(long count) {
  int fd = data(O_RDONLY);
  for (long i = 0; i < count; i++) need(pread(fd, block, 4096, draw() % (DATA / 4096) * 4096) == 4096, name);
  return count;
}
static long do_write(long count) {
  int fd = data(O_RDWR);
  for (long i = 0; i < count; i++) need(pwrite(fd, block, 4096, draw() % (DATA / 4096) * 4096) == 4096, name);
  return count;
}
static long do_mmap(long count) {
  long pages = 0;
  for (long i = 0; i < count; i++) {
    int fd = data(O_RDONLY);
    char *map = mmap(NULL, DATA, PROT_READ, MAP_SHARED, fd, 0);
    need(map != MAP_FAILED, "mmap");
    for (long at = 0; at < DATA; at += 4096, pages++) sink += map[at];
    munmap(map, DATA);
    close(fd);
  }
  return pages;
}
static long do_sequential(long count, const char *what, int flags) {
  long blocks = 0;
  for (long i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/%s", dir, what);
    int fd = open(name, flags, 0644);
    need(fd >= 0, name);
    for (long at = 0; at < LARGE; at += BLOCK, blocks++) need((flags & O_WRONLY ? write(fd, block, BLOCK) : read(fd, block, BLOCK)) == BLOCK, name);
    if (flags & O_WRONLY) need(fsync(fd) == 0, "fsync");
    close(fd);
  }
  return blocks;
}
static long do_readall(long count) { return do_sequential(count, "large", O_RDONLY); }
static long do_writeall(long count) { return do_sequential(count, "written", O_CREAT | O_TRUNC | O_WRONLY); }
static void read_and_stat(int fd, int at) {
  struct stat st;
  need(pread(fd, block, 4096, draw() % (DATA / 4096) * 4096) == 4096, name);
  need(stat(file(at), &st) == 0, name);
}
static void make_and_remove(int i) {
  int fd = open(made(i), O_CREAT | O_EXCL | O_WRONLY, 0644);
  need(fd >= 0 && write(fd, block, 100) == 100 && close(fd) == 0 && unlink(name) == 0, name);
}
/* Eight processes at once; units of all of them. */
static long do_together(long count, int makes) {
  for (int child = 0; child < 8; child++) {
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid > 0) continue;
    process = child + 1;
    drawn += child * 7919;
    int fd = data(O_RDONLY);
    for (long i = 0; i < count; i++) {
      read_and_stat(fd, i + child * 100);
      if (makes) make_and_remove(i);
    }
    _exit(0);
  }
  int status, failed = 0;
  while (wait(&status) > 0) failed |= status;
  need(failed == 0, "a process failed");
  return 8 * count;
}
/* Each with reads, looks, and a file made and removed. */
static long do_parallel(long count) { return do_together(count, 1); }
static long do_look(long count) { return do_together(count, 0); }

/* Keeps the pages of DIR/data in memory until its input ends; not timed. DIR is the backing's own. */
static long do_keep(long count) {
  char *map = mmap(NULL, DATA, PROT_READ, MAP_SHARED, data(O_RDONLY), 0);
  need(map != MAP_FAILED && mlock(map, DATA) == 0, "mlock");
  need(write(1, "kept\n", 5) == 5, "keep");
  while (read(0, block, 1) > 0) continue;
  return count;
}

static const struct { const char *name; long (*act)(long); } operations[] = {
  {"stat", do_stat}, {"open", do_open}, {"create", do_create}, {"lookmade", do_lookmade}, {"unlink", do_unlink}, {"rename", do_rename}, {"list", do_list},
  {"getxattr", do_getxattr}, {"setxattr", do_setxattr}, {"read", do_read}, {"write", do_write}, {"mmap", do_mmap},
  {"readall", do_readall}, {"writeall", do_writeall}, {"parallel", do_parallel}, {"look", do_look}, {"keep", do_keep},
};

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: file-operations OPERATION DIR COUNT\n"), 2;
  dir = argv[2];
  if (strcmp(argv[1], "prepare") == 0) return prepare(dir), 0;
  if (strcmp(argv[1], "prepare-small") == 0) return prepare_small(dir), 0;
  for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++) {
    if (strcmp(argv[1], operations[i].name) != 0) continue;
    long begun = now();
    long units = operations[i].act(atol(argv[3]));
    printf("%.1f\n", (double)(now() - begun) / units);
    return 0;
  }
  return fprintf(stderr, "no operation %s\n", argv[1]), 2;
}
