/*
 * Writing all of something. See output.h.
 */
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "clock.h"

bool output_write(int fd, struct slice bytes, int64_t deadline_ms)
{
	while (bytes.size > 0) {
		ssize_t written;

		if (!clock_wait_ready(fd, POLLOUT, deadline_ms))
			return false;
		written = write(fd, bytes.at, bytes.size);
		if (written >= 0) {
			bytes.at += written;
			bytes.size -= (size_t)written;
		} else if (errno != EINTR && errno != EAGAIN) {
			return false;
		}
	}
	return true;
}
