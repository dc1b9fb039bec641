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

static void capture(const struct sockaddr_nl *peer, socklen_t length, const struct iovec *parts, int count)
{
	const char *path = getenv("NETLINK_CAPTURE");

	if (!path || !peer || length != sizeof(*peer) || peer->nl_family != AF_NETLINK)
		return;
	int out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0 || writev(out, parts, count) < 0)
		abort();
	close(out);
}

/* libnftnl's batches. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");

	capture(message->msg_name, message->msg_namelen, message->msg_iov, (int)message->msg_iovlen);
	return real(fd, message, flags);
}

/* libmnl's single messages: all that ipset sends. */
ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *peer, socklen_t length)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
	const struct iovec part = { (void *)bytes, size };

	capture((const void *)peer, length, &part, 1);
	return real(fd, bytes, size, flags, peer, length);
}
