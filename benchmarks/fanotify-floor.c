/*
 * The kernel's own floor for an event round trip: a fanotify permission event, answered by a small C program.
 *
 * Usage: fanotify-floor FILE COUNT
 * A child answers FAN_ACCESS_PERM on FILE; the parent reads one byte COUNT times and prints each call's nanoseconds, one a line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static void answer(int fd) {
  char buffer[4096];
  for (;;) {
    ssize_t length = read(fd, buffer, sizeof buffer);
    if (length <= 0) _exit(1);
    struct fanotify_event_metadata *event = (void *)buffer;
    for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) {
      struct fanotify_response response = {.fd = event->fd, .response = FAN_ALLOW};
      if (write(fd, &response, sizeof response) != sizeof response) _exit(1);
      close(event->fd);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int count = atoi(argv[2]);
  int fd = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
  if (fd < 0) return perror("fanotify_init"), 1;
  pid_t child = fork();
  if (child == 0) {
    if (fanotify_mark(fd, FAN_MARK_ADD, FAN_ACCESS_PERM, AT_FDCWD, argv[1]) != 0) _exit(1);
    answer(fd);
  }
  usleep(100000);
  int file = open(argv[1], O_RDONLY); /* after the mark: an older descriptor raises nothing on Linux 6.14 and later */
  if (file < 0) return perror(argv[1]), 1;
  for (int i = 0; i < count; i++) {
    char byte;
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (pread(file, &byte, 1, 0) != 1) return perror("pread"), 1;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%ld\n", (ended.tv_sec - begun.tv_sec) * 1000000000L + ended.tv_nsec - begun.tv_nsec);
  }
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return 0;
}
