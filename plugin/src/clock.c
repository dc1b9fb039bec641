/*
 * Time and waiting. See clock.h.
 */
#include "clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

int64_t clock_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_sleep_ms(int64_t ms)
{
	struct timespec left = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (ms > 0 && nanosleep(&left, &left) == -1 && errno == EINTR)
		continue;
}

bool clock_wait_ready(int fd, short events, int64_t deadline_ms)
{
	struct pollfd waiting = { .fd = fd, .events = events, .revents = 0 };

	for (;;) {
		int64_t left = deadline_ms - clock_now_ms();
		int ready;

		if (left < 0)
			left = 0;
		if (left > INT_MAX)
			left = INT_MAX;
		ready = poll(&waiting, 1, (int)left);
		if (ready > 0)
			return true;
		if (ready == 0 && left == 0)
			return false;
		/* poll() fails otherwise only by a signal: the plugin's descriptors are its own. */
	}
}
