/*
 * exec-timer COUNT PROGRAM [ARGUMENT...]
 *
 * Runs PROGRAM that often as a container runtime runs a CNI plugin for ADD: environment inherited, standard input read
 * anew each time, and CNI_NETNS naming a fresh network namespace of its own, which is made outside of the measured time
 * and gone after it. Measured is from before vfork to after waitpid. Prints one JSON object: nanoseconds of each run, how
 * many did not exit with 0, and what the last run wrote to its standard output.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COUNT 10000
#define MAX_OUTPUT (64 * 1024)

static void fail(const char *action) {
  fprintf(stderr, "exec-timer: Cannot %s: %s\n", action, strerror(errno));
  exit(1);
}

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_own_netns(void) {
  int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("open the network namespace");
  return fd;
}

static int make_netns(int home) {
  if (unshare(CLONE_NEWNET)) fail("make a network namespace");
  int fd = open_own_netns();
  if (setns(home, CLONE_NEWNET)) fail("come back from the network namespace");
  return fd;
}

static void print_quoted(const char *text, ssize_t size) {
  putchar('"');
  for (ssize_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < ' ') printf("\\u%04x", c);
    else putchar(c);
  }
  putchar('"');
}

int main(int argc, char **argv) {
  long count = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
  if (argc < 3 || count < 1 || count > MAX_COUNT) {
    fprintf(stderr, "usage: exec-timer COUNT PROGRAM [ARGUMENT...] < STDIN\n");
    return 2;
  }
  char **command = argv + 2;
  int home = open_own_netns(), output = memfd_create("output", MFD_CLOEXEC), failed = 0;
  if (output < 0) fail("make a file in memory");
  long long *taken = calloc((size_t)count, sizeof *taken);
  if (!taken) fail("keep the times");
  for (long i = 0; i < count; i++) {
    char netns[64];
    int status, fd = make_netns(home);
    snprintf(netns, sizeof netns, "/proc/%d/fd/%d", getpid(), fd);
    setenv("CNI_NETNS", netns, 1);
    /* The child shares standard input's position with us. */
    if (lseek(STDIN_FILENO, 0, SEEK_SET) < 0) fail("rewind standard input; it must be a file");
    if (ftruncate(output, 0) || lseek(output, 0, SEEK_SET) < 0) fail("empty the output");
    long long start = now_ns();
    pid_t child = vfork();
    if (child < 0) fail("start a process");
    if (child == 0) {
      dup2(output, STDOUT_FILENO);
      execv(command[0], command);
      _exit(127);
    }
    if (waitpid(child, &status, 0) < 0) fail("wait for the process");
    taken[i] = now_ns() - start;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) failed++;
    close(fd);
  }
  printf("{\"ns\":[");
  for (long i = 0; i < count; i++) printf("%s%lld", i ? "," : "", taken[i]);
  printf("],\"failed\":%d,\"stdout\":", failed);
  static char text[MAX_OUTPUT];
  print_quoted(text, pread(output, text, sizeof text, 0));
  printf("}\n");
  return 0;
}
