/*
 * Opening and judging CNI_NETNS. See netns.h.
 */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "answer.h"
#include "text.h"

noreturn static void refuse(const char *path, const char *why)
{
	char buffer[512];
	struct text message = TEXT(buffer);

	text_join(&message, "Cannot use CNI_NETNS: ", why, ": ", path, NULL);
	answer_error(CNI_INVALID_NETNS, message.at, "the runtime must pass the path of the sandbox's network namespace");
}

/* The kernel compares namespaces by the device and inode of their files (ioctl_ns(2)). */
static void refuse_if_own(const struct stat *given)
{
	struct stat own;

	if (stat("/proc/self/ns/net", &own) == 0 && given->st_dev == own.st_dev && given->st_ino == own.st_ino)
		answer_error(CNI_INVALID_NETNS, "plugin's netns and netns from CNI_NETNS should not be the same", NULL);
}

int netns_open(const char *path, bool may_be_own)
{
	/* Non-blocking, because what is opened may be anything, a pipe included. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct statfs filesystem;
	struct stat given;
	int type;

	if (fd < 0)
		refuse(path, strerror(errno));
	if (fstatfs(fd, &filesystem) != 0 || (unsigned long)filesystem.f_type != NSFS_MAGIC)
		refuse(path, "it is not a namespace");
	/* A kernel before 4.11 cannot tell and says ENOTTY; the agent's setns() with CLONE_NEWNET will. */
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type != CLONE_NEWNET && !(type < 0 && errno == ENOTTY))
		refuse(path, "it is a namespace of another kind");
	if (!may_be_own && fstat(fd, &given) == 0)
		refuse_if_own(&given);
	return fd;
}

void netns_refuse_own(const char *path)
{
	struct stat given;

	if (stat(path, &given) == 0)
		refuse_if_own(&given);
}
