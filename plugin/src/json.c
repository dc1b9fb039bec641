/*
 * The reading half of json.h: walks through text that json_check() has accepted.
 */
#include "json.h"

#include <assert.h>

#include "utf8.h"

enum json_kind json_kind(struct slice value)
{
	assert(value.size > 0);
	switch (value.at[0]) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

const char *json_kind_name(struct slice value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string", [JSON_NUMBER] = "a number",
		[JSON_TRUE] = "true",        [JSON_FALSE] = "false",    [JSON_NULL] = "null",
	};

	return names[json_kind(value)];
}

static bool is_space(char character)
{
	return character == ' ' || character == '\t' || character == '\n' || character == '\r';
}

static void skip_between(struct json_walk *walk)
{
	while (walk->at < walk->end && (is_space(*walk->at) || *walk->at == ',' || *walk->at == ':'))
		walk->at++;
}

static void skip_string(struct json_walk *walk)
{
	for (walk->at++; walk->at < walk->end && *walk->at != '"'; walk->at++)
		if (*walk->at == '\\')
			walk->at++;
	walk->at++;
}

/* Takes the value at the walk's place. Brackets are only counted: json_check() has seen that they match. */
static struct slice take_value(struct json_walk *walk)
{
	const char *first = walk->at;
	unsigned depth = 0;

	do {
		switch (*walk->at) {
		case '"':
			skip_string(walk);
			break;
		case '{':
		case '[':
			depth++;
			walk->at++;
			break;
		case '}':
		case ']':
			depth--;
			walk->at++;
			break;
		default:
			walk->at++;
			/* A number or word ends where its value ends; inside brackets nothing has to be told apart. */
			while (depth == 0 && walk->at < walk->end && !is_space(*walk->at) && strchr(",]}", *walk->at) == NULL)
				walk->at++;
		}
	} while (depth > 0 && walk->at < walk->end);
	return (struct slice){ first, (size_t)(walk->at - first) };
}

struct json_walk json_walk(struct slice object_or_array)
{
	assert(object_or_array.size >= 2);
	return (struct json_walk){ object_or_array.at + 1, object_or_array.at + object_or_array.size - 1 };
}

bool json_next_item(struct json_walk *walk, struct slice *value)
{
	skip_between(walk);
	if (walk->at >= walk->end)
		return false;
	*value = take_value(walk);
	return true;
}

bool json_next_member(struct json_walk *walk, struct slice *key, struct slice *value)
{
	return json_next_item(walk, key) && json_next_item(walk, value);
}

bool json_member(struct slice object, const char *key, struct slice *value)
{
	struct json_walk walk = json_walk(object);
	struct slice each_key, each_value;
	bool found = false;

	while (json_next_member(&walk, &each_key, &each_value)) {
		if (json_string_is(each_key, slice_of(key))) {
			*value = each_value;
			found = true;
		}
	}
	return found;
}

static uint32_t hex_value(const char *digits)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++) {
		char digit = digits[i];

		value = value * 16 + (uint32_t)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
	}
	return value;
}

static bool is_surrogate(uint32_t unit, uint32_t first)
{
	return unit >= first && unit < first + 0x400;
}

/* Resolves a \u escape, of which at points to the u; returns the bytes of the escape that were read, without the backslash. */
static size_t unescape_unicode(const char *at, const char *end, uint32_t *code_point)
{
	uint32_t unit = hex_value(at + 1);

	*code_point = unit;
	if (is_surrogate(unit, 0xd800)) {
		if (end - at >= 11 && at[5] == '\\' && at[6] == 'u') {
			uint32_t low = hex_value(at + 7);

			if (is_surrogate(low, 0xdc00)) {
				*code_point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
				return 11;
			}
		}
		*code_point = 0xfffd;
	} else if (is_surrogate(unit, 0xdc00)) {
		*code_point = 0xfffd;
	}
	return 5;
}

/* Takes the next piece of a string's content, at most 4 bytes, its escape resolved. False at the closing quote. */
static bool next_piece(const char **at, const char *end, char piece[4], size_t *size)
{
	static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";

	if (*at >= end)
		return false;
	if (**at != '\\') {
		piece[0] = *(*at)++;
		*size = 1;
		return true;
	}
	(*at)++;
	if (**at == 'u') {
		uint32_t code_point;

		*at += unescape_unicode(*at, end, &code_point);
		*size = utf8_encode(code_point, piece);
		return true;
	}
	for (size_t i = 0; i + 1 < sizeof(escapes); i += 2)
		if (escapes[i] == **at)
			piece[0] = escapes[i + 1];
	*size = 1;
	(*at)++;
	return true;
}

bool json_string_is(struct slice string, struct slice text)
{
	const char *at = string.at + 1, *end = string.at + string.size - 1;
	char piece[4] = { 0 };
	size_t size, done = 0;

	while (next_piece(&at, end, piece, &size)) {
		if (text.size - done < size || memcmp(text.at + done, piece, size) != 0)
			return false;
		done += size;
	}
	return done == text.size;
}

bool json_string_add(struct slice string, struct text *text)
{
	const char *at = string.at + 1, *end = string.at + string.size - 1;
	char piece[4] = { 0 };
	size_t size;

	while (next_piece(&at, end, piece, &size)) {
		if (text->capacity - text->size <= size || piece[0] == '\0')
			return false;
		text_add_slice(text, (struct slice){ piece, size });
	}
	return true;
}
