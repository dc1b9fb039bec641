/*
 * namespace-init CGROUP HOSTNAME PROGRAM [ARGUMENT...]
 *
 * Runs PROGRAM in mount, network, pid, ipc and uts namespaces of its own and is its process 1: it reaps orphans,
 * forwards signals, and ends with PROGRAM's exit status (128 + signal number when a signal ended it). All that was
 * started inside dies with it, also when the caller or this process is killed, and the cgroups called CGROUP, the
 * only thing that would outlive the namespaces, are then removed from every hierarchy.
 *
 * Three processes: the supervisor stays outside; init is process 1 inside; the sweeper waits, outside and in a
 * session of its own, for the end of init and removes the cgroups, whoever was killed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

static void fail(const char *action) {
  fprintf(stderr, "namespace-init: Cannot %s: %s\n", action, strerror(errno));
  exit(125);
}

static int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* Waits for `child` while reaping every other one and passing signals on to it. */
static int supervise(pid_t child, const sigset_t *watched) {
  for (;;) {
    siginfo_t info;
    int number = sigwaitinfo(watched, &info);
    if (number < 0) continue;
    if (number != SIGCHLD) {
      /* The terminal sends to the whole foreground group, the child included: passing it on would send it twice. */
      if (info.si_code != SI_KERNEL) kill(child, number);
      continue;
    }
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
      if (ended == child) return exit_code(status);
  }
}

static int remove_directory(const char *path, const struct stat *st, int type, struct FTW *walk) {
  (void)st;
  (void)walk;
  if (type == FTW_DP || type == FTW_D) rmdir(path);
  return 0;
}

/* True when no hierarchy (version 1: one folder each; version 2: the root itself) has the cgroup any more. */
static int remove_cgroups(const char *name) {
  char path[PATH_MAX];
  int gone = 1;
  DIR *root = opendir(CGROUP_ROOT);
  if (!root) return 1;
  for (struct dirent *entry; (entry = readdir(root));) {
    if (!strcmp(entry->d_name, "..")) continue;
    int length = snprintf(path, sizeof path, CGROUP_ROOT "/%s/%s", entry->d_name, name);
    if (length < 0 || (size_t)length >= sizeof path || access(path, F_OK)) continue;
    nftw(path, remove_directory, 16, FTW_DEPTH | FTW_PHYS);
    if (!access(path, F_OK)) gone = 0;
  }
  closedir(root);
  return gone;
}

static void sweep(int alive, const char *cgroup) {
  setsid();
  char byte;
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  while (read(alive, &byte, 1) < 0 && errno == EINTR) {}
  /* A killed process leaves its cgroup a moment after its parent could see its end. */
  for (int attempt = 0; attempt < 500 && !remove_cgroups(cgroup); attempt++) usleep(20000);
  _exit(0);
}

static void bring_loopback_up(void) {
  struct ifreq request = {0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request)) fail("set lo up");
  close(fd);
}

static int init(int ready, const char *hostname, char **program, const sigset_t *watched, const sigset_t *original) {
  char pid[32] = {0};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* The supervisor tells the pid it knows us by; no answer means that it died before the line above. */
  if (read(ready, pid, sizeof pid - 1) <= 0) _exit(125);
  setenv("TESTBED_INIT_PID", pid, 1);
  prctl(PR_SET_NAME, "namespace-init");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) fail("make mounts private");
  if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL)) fail("make mounts shared inside");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) fail("mount /proc");
  if (mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")) fail("mount /run");
  if (sethostname(hostname, strlen(hostname))) fail("set the host name");
  bring_loopback_up();

  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    sigprocmask(SIG_SETMASK, original, NULL);
    execvp(program[0], program);
    fprintf(stderr, "namespace-init: Cannot execute %s: %s\n", program[0], strerror(errno));
    _exit(127);
  }
  _exit(supervise(child, watched));
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: namespace-init CGROUP HOSTNAME PROGRAM [ARGUMENT...]\n");
    return 125;
  }
  const char *cgroup = argv[1];
  if (!*cgroup || strchr(cgroup, '/') || *cgroup == '.') {
    fprintf(stderr, "namespace-init: Cannot use cgroup name \"%s\": a plain name is wanted\n", cgroup);
    return 125;
  }
  sigset_t watched, original;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGHUP);
  sigprocmask(SIG_BLOCK, &watched, &original);
  prctl(PR_SET_PDEATHSIG, SIGKILL);

  int alive[2], ready[2];
  if (pipe2(alive, O_CLOEXEC) || pipe2(ready, O_CLOEXEC)) fail("create a pipe");
  pid_t sweeper = fork();
  if (sweeper < 0) fail("fork");
  if (sweeper == 0) {
    close(alive[1]);
    close(ready[0]);
    close(ready[1]);
    sweep(alive[0], cgroup);
  }
  close(alive[0]);

  pid_t child = (pid_t)syscall(
      SYS_clone, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD, NULL, NULL, NULL, NULL);
  if (child < 0) fail("create namespaces (root with CAP_SYS_ADMIN is needed)");
  if (child == 0) {
    close(ready[1]);
    return init(ready[0], argv[2], argv + 3, &watched, &original);
  }
  /* Only init holds `alive` from here on (close-on-exec in what it starts): its end is the sweeper's signal. */
  close(alive[1]);
  close(ready[0]);
  dprintf(ready[1], "%d", child);
  close(ready[1]);
  int code = supervise(child, &watched);
  while (waitpid(sweeper, NULL, 0) < 0 && errno == EINTR) {}
  return code;
}
