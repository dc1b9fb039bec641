/*
 * Asking the node agent: when to try, how long, and what an answer must look like. It reports, and never ends the process.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>

#include "frame.h"
#include "text.h"

/* After the agent has accepted a connection, its answer must be there within this time. */
#define AGENT_ANSWER_MS 60000

struct agent_request {
	const char *socket_path;
	struct slice values[REQUEST_KEYS]; /* all but REQUEST_REMAINING_MS, which is filled in here */
	int netns;                         /* -1: none */
	int wait_ms;                       /* how long to go on when nobody listens */
	int answer_ms;

	/* Called at most once, when nobody was there at a first try: true ends the asking. NULL: it goes on. */
	bool (*needs_no_answer)(const void *context);
	/* Called before every pause in which nobody is there. NULL: nothing is. */
	void (*while_away)(const void *context);
	const void *context;
};

struct agent_answer {
	unsigned exit_code;
	bool has_stdout;
	struct slice stdout_bytes;
	struct slice log; /* empty: none */
};

/*
 * Sends the request until it is answered or a deadline passes. A connection that ends before an answer means that the
 * agent was restarted: the request is sent again (ADD and CHECK are idempotent at the agent), for wait_ms more in total.
 * False: why completes a sentence that begins with "Cannot …: ".
 */
bool agent_ask(struct agent_request *request, struct agent_answer *answer, struct text *why);

/* Tells the agent without wanting to know anything: one try, at most timeout_ms in all. */
void agent_tell(struct agent_request *request, int timeout_ms);

#endif
