/*
 * Unix stream sockets. See connection.h.
 */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

static char answer_payload[FRAME_ANSWER_MAX];

int connection_open(const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int connection, failure;

	assert(strlen(socket_path) < sizeof(address.sun_path));
	strcpy(address.sun_path, socket_path);

	connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connection < 0)
		return -1;
	if (connect(connection, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return connection;
	failure = errno;
	close(connection);
	errno = failure;
	return -1;
}

/* Drops the bytes that were sent from the front of the frame's pieces. */
static void advance(struct msghdr *message, size_t sent)
{
	while (sent > 0) {
		struct iovec *piece = message->msg_iov;

		if (sent < piece->iov_len) {
			piece->iov_base = (char *)piece->iov_base + sent;
			piece->iov_len -= sent;
			return;
		}
		sent -= piece->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
}

enum connection_outcome connection_send(int connection, struct frame *frame, int descriptor, int64_t deadline_ms)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .space = { 0 } };
	struct msghdr message = { .msg_iov = frame->pieces };
	size_t left = 0;

	message.msg_iovlen = frame->piece_count;
	for (int i = 0; i < frame->piece_count; i++)
		left += frame->pieces[i].iov_len;

	if (descriptor >= 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}

	while (left > 0) {
		ssize_t sent = sendmsg(connection, &message, MSG_NOSIGNAL);

		if (sent >= 0) {
			advance(&message, (size_t)sent);
			left -= (size_t)sent;
			message.msg_control = NULL;
			message.msg_controllen = 0;
		} else if (errno == EAGAIN) {
			if (!clock_wait_ready(connection, POLLOUT, deadline_ms))
				return CONNECTION_TIMED_OUT;
		} else if (errno != EINTR) {
			return CONNECTION_PEER_GONE;
		}
	}
	return CONNECTION_DONE;
}

static enum connection_outcome receive_all(int connection, char *at, size_t size, int64_t deadline_ms)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got;

		if (!clock_wait_ready(connection, POLLIN, deadline_ms))
			return CONNECTION_TIMED_OUT;
		got = recv(connection, at + done, size - done, 0);
		if (got > 0)
			done += (size_t)got;
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			return done == 0 ? CONNECTION_PEER_GONE : CONNECTION_BROKEN;
	}
	return CONNECTION_DONE;
}

enum connection_outcome connection_receive(int connection, struct frame_header *header, struct slice *payload,
					   int64_t deadline_ms)
{
	unsigned char bytes[FRAME_HEADER_SIZE];
	enum connection_outcome outcome = receive_all(connection, (char *)bytes, sizeof(bytes), deadline_ms);

	if (outcome != CONNECTION_DONE)
		return outcome;
	if (!frame_parse_header(bytes, header) || header->payload_size > FRAME_ANSWER_MAX)
		return CONNECTION_BROKEN;
	*payload = (struct slice){ answer_payload, header->payload_size };
	outcome = receive_all(connection, answer_payload, header->payload_size, deadline_ms);
	return outcome == CONNECTION_PEER_GONE ? CONNECTION_BROKEN : outcome;
}
