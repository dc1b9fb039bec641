/*
 * What the plugin says of itself: its version, and the versions of CNI it speaks.
 */
#ifndef ABOUT_H
#define ABOUT_H

#include <stdnoreturn.h>

const char *about_version(void);

/* For a person who starts the plugin without CNI_COMMAND: to stderr, exit code 0, as libcni's skel does. */
noreturn void about_print_usage(void);

/* The answer to VERSION. */
noreturn void about_print_versions(void);

#endif
