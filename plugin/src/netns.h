/*
 * The pod's network namespace as a descriptor.
 */
#ifndef NETNS_H
#define NETNS_H

#include <stdbool.h>

/*
 * Opens CNI_NETNS. Ends with code 8 when it cannot be opened, is no network namespace, or is the plugin's own
 * and may_be_own is false.
 */
int netns_open(const char *path, bool may_be_own);

/* Ends with code 8 when path is the plugin's own network namespace. A path that cannot be opened is no error, as in libcni. */
void netns_refuse_own(const char *path);

#endif
