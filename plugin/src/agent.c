/*
 * The conversation with the agent. See agent.h and ../CONTRACT.md.
 */
#include "agent.h"

#include <errno.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"

#define FIRST_PAUSE_MS 20
#define LONGEST_PAUSE_MS 250

static void close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
}

#define CLEANUP_FD __attribute__((cleanup(close_descriptor))) int

static bool is_nobody_there(int error)
{
	return error == ENOENT || error == ECONNREFUSED || error == EAGAIN || error == EINTR;
}

static bool explain_version(struct slice payload, unsigned frame_version, struct text *why)
{
	struct slice values[REFUSED_KEYS];
	unsigned highest = frame_version;

	if (frame_parse_items(payload, values, REFUSED_KEYS))
		frame_parse_decimal(values[REFUSED_HIGHEST_VERSION], &highest);
	text_add(why, "the plugin speaks version ");
	text_add_number(why, FRAME_VERSION);
	text_add(why, " of the socket contract and the agent at most version ");
	text_add_number(why, highest);
	return false;
}

/* Turns a received frame into an answer; false with the reason otherwise. */
static bool understand(const struct frame_header *header, struct slice payload, struct agent_answer *answer, struct text *why)
{
	struct slice values[ANSWER_KEYS];

	if (header->type == FRAME_VERSION_REFUSED)
		return explain_version(payload, header->version, why);
	if (header->version != FRAME_VERSION || header->type != FRAME_ANSWER ||
	    !frame_parse_items(payload, values, ANSWER_KEYS) ||
	    !frame_parse_decimal(values[ANSWER_EXIT_CODE], &answer->exit_code) || answer->exit_code > 255) {
		text_add(why, "the agent's answer does not follow the socket contract");
		return false;
	}
	answer->has_stdout = values[ANSWER_STDOUT].at != NULL;
	answer->stdout_bytes = values[ANSWER_STDOUT];
	answer->log = values[ANSWER_LOG];
	return true;
}

/* One request on one connection. */
static enum connection_outcome exchange(int connection, struct agent_request *request, struct frame_header *header,
					struct slice *payload, int64_t deadline_ms)
{
	int64_t left = deadline_ms - clock_now_ms();
	char remaining_buffer[24];
	struct text remaining = TEXT(remaining_buffer);
	struct frame frame;

	text_add_number(&remaining, left > 0 ? (uint64_t)left : 0);
	request->values[REQUEST_REMAINING_MS] = text_slice(&remaining);
	if (!frame_build_request(&frame, request->values, 0))
		return CONNECTION_BROKEN;
	/* An agent that refuses early answers and closes while the rest is still on its way: its answer counts. */
	if (connection_send(connection, &frame, request->netns, deadline_ms) == CONNECTION_TIMED_OUT)
		return CONNECTION_TIMED_OUT;
	return connection_receive(connection, header, payload, deadline_ms);
}

static bool explain_absence(const struct agent_request *request, int error, int64_t since_ms, struct text *why)
{
	text_join(why, "the agent does not answer on ", request->socket_path, " (", NULL);
	text_add(why, error != 0 ? strerror(error) : "it closed the connection");
	text_add(why, "), tried for ");
	text_add_number(why, (uint64_t)(clock_now_ms() - since_ms));
	text_add(why, " ms");
	return false;
}

bool agent_ask(struct agent_request *request, struct agent_answer *answer, struct text *why)
{
	const int64_t start_ms = clock_now_ms();
	int64_t give_up_ms = start_ms + request->wait_ms, answer_by_ms = 0, pause_ms = FIRST_PAUSE_MS;
	bool lost_before = false, was_told = false;

	for (;;) {
		CLEANUP_FD connection = connection_open(request->socket_path);
		int error = connection < 0 ? errno : 0;
		struct frame_header header;
		struct slice payload;
		int64_t left_ms;

		if (connection < 0 && !is_nobody_there(error))
			return explain_absence(request, error, start_ms, why);
		if (connection >= 0) {
			if (answer_by_ms == 0)
				answer_by_ms = clock_now_ms() + request->answer_ms;
			switch (exchange(connection, request, &header, &payload, answer_by_ms)) {
			case CONNECTION_DONE:
				return understand(&header, payload, answer, why);
			case CONNECTION_BROKEN:
				text_add(why, "the agent's answer is incomplete, too large or not of the socket contract");
				return false;
			case CONNECTION_TIMED_OUT:
				text_add(why, "the agent has accepted the request but not answered within ");
				text_add_number(why, (uint64_t)request->answer_ms);
				text_add(why, " ms");
				return false;
			case CONNECTION_PEER_GONE:
				/* A restart gets its own time, once: an agent that always hangs up must not hold the pod for long. */
				if (!lost_before) {
					give_up_ms = clock_now_ms() + request->wait_ms;
					pause_ms = FIRST_PAUSE_MS;
				}
				lost_before = true;
			}
		}

		if (!was_told && request->needs_no_answer != NULL && request->needs_no_answer(request->context))
			return explain_absence(request, error, start_ms, why);
		was_told = true;
		if (answer_by_ms != 0 && give_up_ms > answer_by_ms)
			give_up_ms = answer_by_ms;
		left_ms = give_up_ms - clock_now_ms();
		if (left_ms <= 0)
			return explain_absence(request, error, start_ms, why);
		if (request->while_away != NULL)
			request->while_away(request->context);
		clock_sleep_ms(pause_ms < left_ms ? pause_ms : left_ms);
		pause_ms = pause_ms * 3 / 2 < LONGEST_PAUSE_MS ? pause_ms * 3 / 2 : LONGEST_PAUSE_MS;
	}
}

void agent_tell(struct agent_request *request, int timeout_ms)
{
	CLEANUP_FD connection = connection_open(request->socket_path);
	struct frame frame;

	if (connection >= 0 && frame_build_request(&frame, request->values, FRAME_NO_ANSWER_WANTED))
		connection_send(connection, &frame, -1, clock_now_ms() + timeout_ms);
}
