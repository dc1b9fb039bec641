/*
 * Reading stdin. See input.h.
 */
#include "input.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "answer.h"
#include "clock.h"
#include "text.h"

#define INPUT_DEADLINE_MS 10000

/* Untouched pages of this cost nothing, so there is no need to grow a buffer. One byte more tells "too large". */
static char buffer[INPUT_MAX + 1];

struct slice input_read(void)
{
	int64_t deadline_ms = clock_now_ms() + INPUT_DEADLINE_MS;
	size_t size = 0;

	for (;;) {
		ssize_t got;

		if (!clock_wait_ready(STDIN_FILENO, POLLIN, deadline_ms))
			answer_error(CNI_IO_FAILURE, "Cannot read the network configuration: stdin did not end within 10 seconds",
				     NULL);
		got = read(STDIN_FILENO, buffer + size, sizeof(buffer) - size);
		if (got == 0)
			return (struct slice){ buffer, size };
		if (got < 0) {
			char message_buffer[128];
			struct text message = TEXT(message_buffer);

			if (errno == EINTR || errno == EAGAIN)
				continue;
			text_join(&message, "error reading from stdin: ", strerror(errno), NULL);
			answer_error(CNI_IO_FAILURE, message.at, NULL);
		}
		size += (size_t)got;
		if (size > INPUT_MAX)
			answer_error(CNI_DECODING_FAILURE, "Cannot accept the network configuration: stdin has more than 1048576 bytes",
				     NULL);
	}
}
