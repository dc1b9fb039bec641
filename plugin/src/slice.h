/*
 * A piece of somebody else's memory: nothing here is copied, ended by NUL or freed.
 */
#ifndef SLICE_H
#define SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *at;
	size_t size;
};

static inline struct slice slice_of(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

static inline bool slice_equals(struct slice a, struct slice b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
	return slice_equals(a, slice_of(text));
}

static inline bool slice_starts_with(struct slice a, const char *prefix)
{
	size_t size = strlen(prefix);

	return a.size >= size && memcmp(a.at, prefix, size) == 0;
}

#endif
