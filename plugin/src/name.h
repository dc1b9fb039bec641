/*
 * Names as CNI accepts them: of networks and of containers alike (libcni's pkg/utils at v1.3.0 has one pattern for both).
 */
#ifndef NAME_H
#define NAME_H

#include <stdbool.h>

/* Whether it begins with a letter or digit of ASCII and has nothing but those, "_", "." and "-". The empty text is none. */
bool name_is_valid(const char *text);

#endif
