/*
 * JSON as a scanner over text that stays where it is: values are slices of the input, nothing is copied or built.
 * First json_check() the whole document; every other function trusts that this was done.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>

#include "slice.h"
#include "text.h"

#define JSON_DEPTH_MAX 64

enum json_kind { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

/*
 * True when the document is exactly one JSON value (RFC 8259) in UTF-8, at most JSON_DEPTH_MAX deep;
 * the value without the space around it is then in *value. Otherwise why says what is wrong and at which byte.
 */
bool json_check(struct slice document, struct slice *value, struct text *why);

enum json_kind json_kind(struct slice value);

/* The name of a kind for people: "an object", "null". */
const char *json_kind_name(struct slice value);

/* Where a walk through an object or array stands. */
struct json_walk {
	const char *at;
	const char *end;
};

struct json_walk json_walk(struct slice object_or_array);

/* The next member of an object: its key as JSON string (with quotes) and its value. False at the end. */
bool json_next_member(struct json_walk *walk, struct slice *key, struct slice *value);

/* The next item of an array. False at the end. */
bool json_next_item(struct json_walk *walk, struct slice *value);

/* The value of the last member with that key, as Go's encoding/json decides between duplicates. False: no such key. */
bool json_member(struct slice object, const char *key, struct slice *value);

/* Whether a JSON string, its escapes resolved, is exactly that text. A lone surrogate reads as U+FFFD, as in Go. */
bool json_string_is(struct slice string, struct slice text);

/* Adds a JSON string, its escapes resolved, to text. False when it does not fit or contains a NUL. */
bool json_string_add(struct slice string, struct text *text);

#endif
