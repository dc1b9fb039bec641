/*
 * The network configuration: the few keys of it that the plugin reads. All others are ignored here and passed on.
 */
#ifndef NETCONF_H
#define NETCONF_H

#include <stdbool.h>

#include "slice.h"

/* Slices are values of the input; those of absent (or null) keys have size 0. */
struct netconf {
	char cni_version[65];
	struct slice prev_result;        /* JSON object, byte for byte */
	struct slice exclude_namespaces; /* JSON array of strings */
	struct slice pod_annotations;    /* JSON object; absent when the runtime did not tell */
	struct slice pod_namespace;      /* JSON string */
	char run_dir[96];                /* so that its socket path fits into sun_path */
	bool ambient_enabled;
	int agent_wait_ms;
};

#define NETCONF_VERSIONS "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"

/*
 * Whether that text is JSON and names a network; ends with code 6 or 7 otherwise. *object is then the configuration,
 * empty for null. Separate from netconf_parse() because libcni judges the command between the two.
 */
struct slice netconf_check(struct slice input);

/* Reads a checked configuration. Ends with code 1 for an unknown cniVersion, 7 naming the key for a wrong value. */
struct netconf netconf_parse(struct slice object);

/* Whether the request's cniVersion is that supported version or a later one. */
bool netconf_version_at_least(const struct netconf *netconf, const char *version);

#endif
