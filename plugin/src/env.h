/*
 * What the runtime says in the environment: the CNI_* variables and the pairs in CNI_ARGS.
 * Checks, their order, codes and texts are those of libcni's pkg/skel at v1.3.0, which upstream's plugin uses.
 */
#ifndef ENV_H
#define ENV_H

#include <stdbool.h>

#include "slice.h"

enum cni_command { CNI_NO_COMMAND, CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_VERSION, CNI_UNKNOWN_COMMAND };

/* Variables that are not set read as "". */
struct cni_env {
	enum cni_command command;
	const char *command_text;
	const char *container_id;
	const char *netns;
	const char *ifname;
	const char *args;
	const char *path;
	bool netns_override;
};

/* The pairs of CNI_ARGS that matter here; absent ones are empty. */
struct cni_args {
	struct slice pod_namespace;
	struct slice pod_name;
};

/* Reads the environment without judging it. */
struct cni_env env_read(void);

/* Ends with code 4 when a variable that the command needs is missing, malformed or larger than 64 KiB. */
void env_check(const struct cni_env *env);

/* Parses CNI_ARGS. Ends with code 4, naming the pair, when one is malformed, or unknown without IgnoreUnknown. */
struct cni_args env_parse_args(const struct cni_env *env);

#endif
