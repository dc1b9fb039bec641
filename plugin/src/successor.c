/*
 * Becoming the plugin that has taken our place. See successor.h.
 */
#include "successor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "output.h"

/* Upstream's agent writes its plugin first, then the kubeconfig that this needs: some milliseconds. Ours answers by then. */
#define SETTLE_MS 1000
#define ENVIRONMENT_MAX 1024
/* Whoever has it was become, and becomes nothing more: two agents that replace each other's plugin must not pass a pod on. */
#define MARK "ISTIO_CNI_SUCCEEDS"

static char *const *arguments;
static dev_t seen_device;
static ino_t seen_inode;
static int64_t seen_since_ms;

void successor_watch(char *const argv[])
{
	if (argv[0] != NULL && argv[0][0] == '/' && getenv(MARK) == NULL)
		arguments = argv;
}

/* The inode alone does not tell: a file system may give that of a removed file to the next one, but ours is held open. */
static bool is_replaced(struct stat *found)
{
	struct stat own;

	return stat("/proc/self/exe", &own) == 0 && stat(arguments[0], found) == 0 && S_ISREG(found->st_mode) &&
	       (own.st_dev != found->st_dev || own.st_ino != found->st_ino);
}

static bool is_due(void)
{
	struct stat found;

	if (arguments == NULL)
		return false;
	if (!is_replaced(&found)) {
		seen_since_ms = 0;
		return false;
	}
	if (seen_since_ms == 0 || found.st_dev != seen_device || found.st_ino != seen_inode) {
		seen_device = found.st_dev;
		seen_inode = found.st_ino;
		seen_since_ms = clock_now_ms();
	}
	return clock_now_ms() - seen_since_ms >= SETTLE_MS;
}

/* The request as a file that is read from its beginning; -1: it cannot be had. */
static int file_of(struct slice request)
{
	int fd = memfd_create("istio-cni-request", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (output_write(fd, request, OUTPUT_NO_DEADLINE) && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}

/* False: it has too many variables. */
static bool mark_environment(char *environment[ENVIRONMENT_MAX + 2])
{
	static char mark[] = MARK "=1";
	size_t count = 0;

	while (environ[count] != NULL && count < ENVIRONMENT_MAX) {
		environment[count] = environ[count];
		count++;
	}
	if (environ[count] != NULL)
		return false;
	environment[count] = mark;
	environment[count + 1] = NULL;
	return true;
}

void successor_take_over(struct slice request)
{
	static char *environment[ENVIRONMENT_MAX + 2];
	unsigned left_s;
	int fd;

	if (!is_due() || !mark_environment(environment))
		return;
	fd = file_of(request);
	if (fd < 0)
		return;
	log_info("The plugin's file was replaced while no agent answers: leaving this pod to the new one");
	if (dup2(fd, STDIN_FILENO) == STDIN_FILENO) {
		/* What an exec keeps and nobody expects: an alarm, and signals that are ignored. */
		left_s = alarm(0);
		signal(SIGPIPE, SIG_DFL);
		execve(arguments[0], arguments, environment);
		signal(SIGPIPE, SIG_IGN);
		alarm(left_s);
	}
	log_warn("Cannot execute the new plugin: waiting on");
	arguments = NULL;
	close(fd);
}
