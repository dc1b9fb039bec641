/*
 * crowd    starts one process for each line on stdin, all at once, and says how long each took
 *
 * All of them are forked first and wait at a barrier; what they were forked from is small, so that nothing of it is
 * in the measured time. From the barrier on they only execute. Lines are those of meter.c, read to their end. The answer
 * begins with the first line of /proc/stat, as it was at the barrier's opening and at the end. Then one line for each, in
 * their order: exit status (128 + number for a signal), ns from the barrier's opening to the process's exec,
 * ns from there to its end, user us, system us, largest resident size in KiB. CPU time includes that of children it
 * waited for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_FIELDS 64
#define MAX_MEMBERS 500

struct member {
  char *fields[MAX_FIELDS + 1];
  int in, out, status;
  pid_t pid;
  long long end_ns;
  struct rusage usage;
};

/* What the processes tell while they are still this program. */
struct shared {
  atomic_size_t arrived;
  long long started_ns[MAX_MEMBERS];
};

static void fail(const char *action, const char *object) {
  fprintf(stderr, "crowd: Cannot %s %s: %s\n", action, object, strerror(errno));
  exit(125);
}

static long long now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static int open_file(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) fail("open", path);
  return fd;
}

/* The times of all processors together; kept as text, since only the reader wants to know. */
static void read_processors(char *line, size_t size) {
  int fd = open_file("/proc/stat", O_RDONLY);
  ssize_t length = read(fd, line, size - 1);
  close(fd);
  if (length <= 0) fail("read", "/proc/stat");
  line[length] = '\0';
  line[strcspn(line, "\n")] = '\0';
}

static void parse(struct member *member, char *line) {
  size_t count = 0;
  char *rest = line;
  while (count < MAX_FIELDS && (member->fields[count] = strsep(&rest, "\t")) != NULL) count++;
  if (count < 3 || rest != NULL) {
    fprintf(stderr, "crowd: Cannot read a line: it has %zu fields, 3 to %d are accepted\n", count, MAX_FIELDS);
    exit(125);
  }
  member->fields[count] = NULL;
  member->in = open_file(member->fields[1], O_RDONLY);
  member->out = open_file(member->fields[2], O_WRONLY | O_CREAT | O_TRUNC);
}

static void become(const struct member *member, const int barrier[2], struct shared *shared, size_t place) {
  char nothing, *argv[] = {member->fields[0], NULL};
  if (dup2(member->in, 0) < 0 || dup2(member->out, 1) < 0 || dup2(member->out, 2) < 0) _exit(125);
  close(barrier[1]);
  atomic_fetch_add(&shared->arrived, 1);
  /* Nobody writes: it returns when the last writer has closed. */
  if (read(barrier[0], &nothing, 1) != 0) _exit(125);
  shared->started_ns[place] = now_ns();
  execve(member->fields[0], argv, member->fields + 3);
  _exit(127);
}

static long long micros(struct timeval time) { return time.tv_sec * 1000000ll + time.tv_usec; }

int main(void) {
  static struct member members[MAX_MEMBERS];
  size_t count = 0, capacity = 0;
  ssize_t length;
  int barrier[2];
  char *line = NULL, before[256], after[256];
  for (; (length = getline(&line, &capacity, stdin)) > 0; line = NULL, capacity = 0) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    if (count == MAX_MEMBERS) {
      fprintf(stderr, "crowd: Cannot start more than %d\n", MAX_MEMBERS);
      return 125;
    }
    parse(&members[count++], line);
  }
  struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("share", "memory");
  if (pipe2(barrier, O_CLOEXEC)) fail("make", "a pipe");
  for (size_t i = 0; i < count; i++) {
    members[i].pid = fork();
    if (members[i].pid < 0) fail("start", members[i].fields[0]);
    if (members[i].pid == 0) become(&members[i], barrier, shared, i);
  }
  while (atomic_load(&shared->arrived) < count) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  read_processors(before, sizeof before);
  long long opened_ns = now_ns();
  close(barrier[1]);
  for (size_t ended = 0; ended < count; ended++) {
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, 0, &usage)) < 0)
      if (errno != EINTR) fail("wait for", "a process");
    long long end_ns = now_ns();
    for (size_t i = 0; i < count; i++) {
      if (members[i].pid != pid) continue;
      members[i].status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      members[i].usage = usage;
      members[i].end_ns = end_ns;
    }
  }
  read_processors(after, sizeof after);
  printf("%s\n%s\n", before, after);
  for (size_t i = 0; i < count; i++)
    printf("%d %lld %lld %lld %lld %ld\n", members[i].status, shared->started_ns[i] - opened_ns, members[i].end_ns - opened_ns,
           micros(members[i].usage.ru_utime), micros(members[i].usage.ru_stime), members[i].usage.ru_maxrss);
  return 0;
}
