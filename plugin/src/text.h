/*
 * Text under construction in a buffer of fixed size: always ended by NUL, cut at the buffer's end, never beyond it.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

#include "slice.h"

struct text {
	char *at;
	size_t size;
	size_t capacity; /* including the NUL */
};

/* An empty text in the array buffer. */
#define TEXT(buffer) text_in((buffer), sizeof(buffer))

struct text text_in(char *buffer, size_t capacity);
struct slice text_slice(const struct text *text);

void text_add(struct text *text, const char *more);
void text_add_slice(struct text *text, struct slice more);
void text_add_number(struct text *text, uint64_t number);

/* Adds number in decimal, left-padded with zeros to digits. */
void text_add_padded(struct text *text, uint64_t number, unsigned digits);

/*
 * Adds more as a JSON string with its quotes. At most limit bytes of it are shown, then "…";
 * what is not UTF-8 becomes U+FFFD, so the outcome is valid JSON for every input.
 */
void text_add_json(struct text *text, struct slice more, size_t limit);

/* Adds every argument up to the closing NULL. */
__attribute__((sentinel)) void text_join(struct text *text, ...);

#endif
