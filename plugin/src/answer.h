/*
 * The plugin's one answer to the runtime: what goes to stdout and the exit code. Every function here ends the process.
 * DEL is answered with success whatever happens (CNI SPEC: DEL should complete without error), in this one place.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdnoreturn.h>

#include "slice.h"

/* CNI SPEC 1.1.0, section 5, "Error"; 8 as libcni's types.ErrInvalidNetNS. */
enum cni_error_code {
	CNI_INCOMPATIBLE_VERSION = 1,
	CNI_INVALID_ENVIRONMENT = 4,
	CNI_IO_FAILURE = 5,
	CNI_DECODING_FAILURE = 6,
	CNI_INVALID_CONFIG = 7,
	CNI_INVALID_NETNS = 8,
	CNI_TRY_AGAIN_LATER = 11,
};

/* From now on every end is exit code 0 and nothing on stdout. */
void answer_always_succeeds(void);

/* The cniVersion of the request, for errors; cut at 64 bytes. */
void answer_with_version(struct slice cni_version);

/* Arms the last resort: a signal that answers code 11 (DEL: success) should the process still be there after that time. */
void answer_at_last(unsigned seconds);

/* Success. The bytes go to stdout as they are; an empty slice prints nothing. */
noreturn void answer_success(struct slice result);

/* A CNI error object, exit code 1. details may be NULL; otherwise it says what a person can do. */
noreturn void answer_error(enum cni_error_code code, const char *message, const char *details);

/* An error that the agent has already put into CNI form. exit_code is 1 to 255. */
noreturn void answer_agent_error(int exit_code, struct slice error);

#endif
