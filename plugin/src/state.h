/*
 * The state file that the agent keeps in its run directory: what may be known while no agent answers (../CONTRACT.md,
 * "State file"). Whatever cannot be trusted reads as absent, and absent means waiting for the agent, never passing a pod.
 */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>

#include "slice.h"

#define STATE_VERSION "1"
#define STATE_MAX (1024u * 1024)

/* Slices are JSON arrays of strings in a buffer that the next state_read() uses again. */
struct state {
	bool is_ambient;
	bool is_strict;
	bool knows_enrollment; /* otherwise the last two are not there */
	struct slice excluded_namespaces;
	struct slice enrolling_namespaces;
	struct slice pod_enrolling_namespaces;
};

/*
 * Reads the file of that run directory. False as if it were absent when it is no regular file of our own uid, when others
 * may write it, when it is larger than STATE_MAX, of another version, or not what the contract says.
 */
bool state_read(const char *run_dir, struct state *state);

#endif
