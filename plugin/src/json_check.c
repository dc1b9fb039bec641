/*
 * The validating half of json.h: one pass, bounded depth, strict grammar.
 */
#include "json.h"
#include "utf8.h"

struct reader {
	const char *start;
	const char *at;
	const char *end;
	unsigned depth;
	struct text *why;
};

static bool check_value(struct reader *reader);

static bool refuse(struct reader *reader, const char *what)
{
	text_join(reader->why, what, " at byte ", NULL);
	text_add_number(reader->why, (uint64_t)(reader->at - reader->start));
	return false;
}

static bool refuse_here(struct reader *reader, const char *expected)
{
	char buffer[80];
	struct text what = TEXT(buffer);

	if (reader->at == reader->end)
		return refuse(reader, "unexpected end of JSON input");
	text_join(&what, "unexpected character, not ", expected, ",", NULL);
	return refuse(reader, buffer);
}

static void skip_space(struct reader *reader)
{
	while (reader->at < reader->end &&
	       (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r'))
		reader->at++;
}

static bool accept(struct reader *reader, char character)
{
	if (reader->at == reader->end || *reader->at != character)
		return false;
	reader->at++;
	return true;
}

static bool is_digit(char character)
{
	return character >= '0' && character <= '9';
}

static bool accept_digits(struct reader *reader)
{
	const char *first = reader->at;

	while (reader->at < reader->end && is_digit(*reader->at))
		reader->at++;
	return reader->at > first;
}

static bool check_number(struct reader *reader)
{
	accept(reader, '-');
	if (!accept(reader, '0') && !accept_digits(reader))
		return refuse_here(reader, "a digit");
	if (accept(reader, '.') && !accept_digits(reader))
		return refuse_here(reader, "a digit");
	if (accept(reader, 'e') || accept(reader, 'E')) {
		if (!accept(reader, '+'))
			accept(reader, '-');
		if (!accept_digits(reader))
			return refuse_here(reader, "a digit");
	}
	return true;
}

static bool check_word(struct reader *reader, const char *word)
{
	for (; *word != '\0'; word++)
		if (!accept(reader, *word))
			return refuse_here(reader, "a value");
	return true;
}

static bool check_escape(struct reader *reader)
{
	if (reader->at == reader->end || strchr("\"\\/bfnrtu", *reader->at) == NULL || *reader->at == '\0')
		return refuse_here(reader, "an escape");
	if (*reader->at++ != 'u')
		return true;
	for (int i = 0; i < 4; i++) {
		if (reader->at == reader->end || strchr("0123456789abcdefABCDEF", *reader->at) == NULL || *reader->at == '\0')
			return refuse_here(reader, "a hexadecimal digit");
		reader->at++;
	}
	return true;
}

static bool check_string(struct reader *reader)
{
	if (!accept(reader, '"'))
		return refuse_here(reader, "a string");
	for (;;) {
		size_t size;

		if (reader->at == reader->end)
			return refuse(reader, "unexpected end of JSON input");
		if (accept(reader, '"'))
			return true;
		if (accept(reader, '\\')) {
			if (!check_escape(reader))
				return false;
			continue;
		}
		if ((unsigned char)*reader->at < 0x20)
			return refuse(reader, "control character in a string");
		size = utf8_sequence(reader->at, (size_t)(reader->end - reader->at));
		if (size == 0)
			return refuse(reader, "not UTF-8");
		reader->at += size;
	}
}

/* Checks what stands between the brackets: items, or members when there are keys. */
static bool check_sequence(struct reader *reader, bool keys, char closing)
{
	reader->at++;
	if (++reader->depth > JSON_DEPTH_MAX)
		return refuse(reader, "nested too deeply");
	skip_space(reader);
	if (!accept(reader, closing)) {
		for (;;) {
			skip_space(reader);
			if (keys) {
				if (!check_string(reader))
					return false;
				skip_space(reader);
				if (!accept(reader, ':'))
					return refuse_here(reader, "a colon");
				skip_space(reader);
			}
			if (!check_value(reader))
				return false;
			skip_space(reader);
			if (accept(reader, closing))
				break;
			if (!accept(reader, ','))
				return refuse_here(reader, "a comma or closing bracket");
		}
	}
	reader->depth--;
	return true;
}

static bool check_value(struct reader *reader)
{
	if (reader->at == reader->end)
		return refuse(reader, "unexpected end of JSON input");
	switch (*reader->at) {
	case '{':
		return check_sequence(reader, true, '}');
	case '[':
		return check_sequence(reader, false, ']');
	case '"':
		return check_string(reader);
	case 't':
		return check_word(reader, "true");
	case 'f':
		return check_word(reader, "false");
	case 'n':
		return check_word(reader, "null");
	default:
		if (*reader->at == '-' || is_digit(*reader->at))
			return check_number(reader);
		return refuse_here(reader, "a value");
	}
}

bool json_check(struct slice document, struct slice *value, struct text *why)
{
	struct reader reader = { document.at, document.at, document.at + document.size, 0, why };
	const char *first;

	skip_space(&reader);
	first = reader.at;
	if (!check_value(&reader))
		return false;
	*value = (struct slice){ first, (size_t)(reader.at - first) };
	skip_space(&reader);
	if (reader.at != reader.end)
		return refuse(&reader, "something follows the JSON value");
	return true;
}
