/*
 * The answer to the runtime. See answer.h.
 */
#include "answer.h"

#include <signal.h>
#include <unistd.h>

#include "log.h"
#include "output.h"
#include "text.h"

#define MESSAGE_MAX 1500

static bool always_succeeds;
static char version_buffer[65];
static struct text version;

void answer_always_succeeds(void)
{
	always_succeeds = true;
}

void answer_with_version(struct slice cni_version)
{
	version = TEXT(version_buffer);
	text_add_slice(&version, cni_version);
}

static bool print(struct slice bytes)
{
	return output_write(STDOUT_FILENO, bytes, OUTPUT_NO_DEADLINE);
}

noreturn void answer_success(struct slice result)
{
	if (!always_succeeds && !print(result)) {
		log_warn("Cannot print the result: stdout does not take it");
		_exit(1);
	}
	_exit(0);
}

noreturn void answer_error(enum cni_error_code code, const char *message, const char *details)
{
	char buffer[24 * 1024];
	struct text error = TEXT(buffer);

	log_warn(message);
	if (always_succeeds)
		_exit(0);

	text_add(&error, "{\n");
	if (version.size > 0) {
		text_add(&error, "    \"cniVersion\": ");
		text_add_json(&error, text_slice(&version), MESSAGE_MAX);
		text_add(&error, ",\n");
	}
	text_add(&error, "    \"code\": ");
	text_add_number(&error, (uint64_t)code);
	text_add(&error, ",\n    \"msg\": ");
	text_add_json(&error, slice_of(message), MESSAGE_MAX);
	if (details != NULL && details[0] != '\0') {
		text_add(&error, ",\n    \"details\": ");
		text_add_json(&error, slice_of(details), MESSAGE_MAX);
	}
	text_add(&error, "\n}\n");
	print(text_slice(&error));
	_exit(1);
}

noreturn void answer_agent_error(int exit_code, struct slice error)
{
	if (always_succeeds)
		_exit(0);
	print(error);
	_exit(exit_code);
}

/*
 * Only what is safe in a signal handler. Nobody may be reading, which may be why it has come to this: the error is printed if
 * stdout takes it now.
 */
static void last_resort(int signal_number)
{
	static const char error[] = "{\n    \"code\": 11,\n    \"msg\": \"Cannot answer in time: the plugin's last deadline has passed\"\n}\n";

	(void)signal_number;
	if (always_succeeds)
		_exit(0);
	output_write(STDOUT_FILENO, (struct slice){ error, sizeof(error) - 1 }, 0);
	_exit(1);
}

void answer_at_last(unsigned seconds)
{
	struct sigaction action = { .sa_handler = last_resort };
	sigset_t itself;

	sigemptyset(&itself);
	sigaddset(&itself, SIGALRM);
	sigaction(SIGALRM, &action, NULL);
	/* Whoever started this may have blocked it, and an exec keeps that. */
	sigprocmask(SIG_UNBLOCK, &itself, NULL);
	alarm(seconds);
}
