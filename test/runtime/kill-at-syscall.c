// Runs a program and kills it, with all its threads, at the entry of the Nth system call that could change something below
// two folders; N = 0 lets it live. Prints how many such calls there were. x86-64 and arm64.
//   kill-at-syscall FOLDER FOLDER N PROGRAM [ARGUMENT...]
// Counted: what opens for writing, makes, renames, links or removes a path below a folder, changes its mode or labels,
// and what writes to, syncs or changes a descriptor of a file below it. Between two of those nothing changes there.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *folders[2];

// The number of the call and its first four arguments.
static int read_call(pid_t thread, unsigned long long call[5]) {
#if defined(__x86_64__)
  struct user_regs_struct registers;
  struct iovec vector = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &vector) != 0) return -1;
  call[0] = registers.orig_rax;
  call[1] = registers.rdi;
  call[2] = registers.rsi;
  call[3] = registers.rdx;
  call[4] = registers.r10;
#elif defined(__aarch64__)
  struct user_regs_struct registers;
  struct iovec vector = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &vector) != 0) return -1;
  call[0] = registers.regs[8];
  for (int index = 0; index < 4; index++) call[index + 1] = registers.regs[index];
#else
#error "unknown architecture"
#endif
  return 0;
}

static int is_below(const char *path) {
  for (int index = 0; index < 2; index++) {
    const size_t length = strlen(folders[index]);
    if (strncmp(path, folders[index], length) == 0 && (path[length] == '/' || path[length] == 0)) return 1;
  }
  return 0;
}

static int names_path(pid_t thread, unsigned long long address) {
  char path[PATH_MAX] = {0};
  // The text may end before a page that cannot be read.
  for (size_t length = 0; length < sizeof path - 1;) {
    size_t part = 256 - (address + length) % 256;
    if (part > sizeof path - 1 - length) part = sizeof path - 1 - length;
    struct iovec local = {path + length, part}, remote = {(void *)(address + length), part};
    if (process_vm_readv(thread, &local, 1, &remote, 1, 0) <= 0) break;
    if (memchr(path + length, 0, part) != NULL) break;
    length += part;
  }
  return is_below(path);
}

static int names_descriptor(pid_t thread, int descriptor) {
  char link[64], path[PATH_MAX] = {0};
  snprintf(link, sizeof link, "/proc/%d/fd/%d", thread, descriptor);
  return readlink(link, path, sizeof path - 1) > 0 && is_below(path);
}

static int changes_folders(pid_t thread, const unsigned long long call[5]) {
  switch (call[0]) {
  case SYS_openat:
    return (call[3] & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0 && names_path(thread, call[2]);
#ifdef SYS_open
  case SYS_open:
    return (call[2] & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0 && names_path(thread, call[1]);
  case SYS_rename:
  case SYS_link:
  case SYS_symlink:
    return names_path(thread, call[1]) || names_path(thread, call[2]);
  case SYS_unlink:
  case SYS_rmdir:
  case SYS_mkdir:
  case SYS_chmod:
  case SYS_creat:
    return names_path(thread, call[1]);
#endif
  case SYS_renameat2:
  case SYS_renameat:
  case SYS_linkat:
    return names_path(thread, call[2]) || names_path(thread, call[4]);
  case SYS_unlinkat:
  case SYS_mkdirat:
  case SYS_fchmodat:
  case SYS_fchownat:
    return names_path(thread, call[2]);
  case SYS_truncate:
  case SYS_setxattr:
  case SYS_lsetxattr:
    return names_path(thread, call[1]);
  case SYS_write:
  case SYS_writev:
  case SYS_pwrite64:
  case SYS_pwritev:
  case SYS_ftruncate:
  case SYS_fallocate:
  case SYS_fsync:
  case SYS_fdatasync:
  case SYS_fchmod:
  case SYS_fchown:
  case SYS_fsetxattr:
    return names_descriptor(thread, (int)call[1]);
  default:
    return 0;
  }
}

int main(int count, char **arguments) {
  if (count < 5) return 2;
  folders[0] = arguments[1];
  folders[1] = arguments[2];
  const long last = atol(arguments[3]);
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    execv(arguments[4], arguments + 4);
    _exit(127);
  }
  int status;
  waitpid(child, &status, 0);
  const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SETOPTIONS, child, 0, options) != 0) return 2;
  ptrace(PTRACE_SYSCALL, child, 0, 0);
  long calls = 0;
  int end = 2;
  for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0;) {
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (thread == child) end = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      // PTRACE_GET_SYSCALL_INFO tells entry from exit.
      struct {
        unsigned char op;
        unsigned char rest[87];
      } info;
      signal = 0;
      unsigned long long call[5];
      const long got = ptrace(0x420e, thread, (void *)sizeof info, &info);
      if (got > 0 && info.op == 1 && read_call(thread, call) == 0 && changes_folders(thread, call) && ++calls == last)
        kill(child, SIGKILL);
    } else if (signal == SIGSTOP || (status >> 16) != 0) {
      // The start of a new thread, or an event.
      signal = 0;
    }
    ptrace(PTRACE_SYSCALL, thread, 0, signal);
  }
  printf("%ld\n", calls);
  return end;
}
