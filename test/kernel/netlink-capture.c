/*
 * LD_PRELOAD shim: appends every netlink message a program sends to the file named by NETLINK_CAPTURE, then sends it.
 * The kernel tests use it to compare our batches with those of iptables-nft, by meaning.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
	const struct sockaddr_nl *peer = message->msg_name;
	const char *path = getenv("NETLINK_CAPTURE");

	if (path && peer && message->msg_namelen == sizeof(*peer) && peer->nl_family == AF_NETLINK) {
		int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (out < 0 || writev(out, message->msg_iov, (int)message->msg_iovlen) < 0)
			abort();
		close(out);
	}
	return real(fd, message, flags);
}
