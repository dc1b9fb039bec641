/*
 * meter                     measures processes from start to exit, one for each line on stdin
 * meter stamp PROGRAM ...   says on stderr when, by the monotonic clock, it becomes PROGRAM
 *
 * A small static program does the measuring because the one that starts a process is part of what is measured: a Node
 * that forks has a large address space to copy, and its memory counts as the child's until exec. What the numbers
 * mean and who may read them is in meter.ts.
 *
 * A line: program, file for stdin, file for stdout and stderr, then the environment, all separated by tabs.
 * Its answer: exit status (128 + number for a signal), wall ns, user us, system us, largest resident size in KiB.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FIELDS 64

static long long now_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void fail(const char *action, const char *object) {
  fprintf(stderr, "meter: Cannot %s %s: %s\n", action, object, strerror(errno));
  exit(125);
}

static int open_file(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) fail("open", path);
  return fd;
}

static long long micros(struct timeval time) { return time.tv_sec * 1000000ll + time.tv_usec; }

static void measure(char **fields) {
  char *argv[] = {fields[0], NULL};
  int in = open_file(fields[1], O_RDONLY);
  int out = open_file(fields[2], O_WRONLY | O_CREAT | O_TRUNC);
  struct rusage usage;
  int status;
  long long start = now_ns(CLOCK_MONOTONIC);
  pid_t child = vfork();
  if (child == 0) {
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(125);
    execve(fields[0], argv, fields + 3);
    _exit(127);
  }
  if (child < 0) fail("start", fields[0]);
  while (wait4(child, &status, 0, &usage) < 0)
    if (errno != EINTR) fail("wait for", fields[0]);
  long long wall = now_ns(CLOCK_MONOTONIC) - start;
  close(in);
  close(out);
  printf("%d %lld %lld %lld %ld\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), wall,
         micros(usage.ru_utime), micros(usage.ru_stime), usage.ru_maxrss);
  fflush(stdout);
}

static void stamp(char **argv) {
  fprintf(stderr, "meter: exec %lld %lld\n", now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_THREAD_CPUTIME_ID));
  execv(argv[0], argv);
  fail("execute", argv[0]);
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "stamp") == 0) stamp(argv + 2);
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, stdin)) > 0) {
    char *fields[MAX_FIELDS + 1], *rest = line;
    size_t count = 0;
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    while (count < MAX_FIELDS && (fields[count] = strsep(&rest, "\t")) != NULL) count++;
    fields[count] = NULL;
    if (count < 3 || rest != NULL) {
      fprintf(stderr, "meter: Cannot read a line: it has %zu fields, 3 to %d are accepted\n", count, MAX_FIELDS);
      return 125;
    }
    measure(fields);
  }
  free(line);
  return 0;
}
