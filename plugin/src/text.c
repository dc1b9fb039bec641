/*
 * Bounded text. See text.h.
 */
#include "text.h"

#include <assert.h>
#include <stdarg.h>

#include "utf8.h"

struct text text_in(char *buffer, size_t capacity)
{
	assert(capacity > 0);
	buffer[0] = '\0';
	return (struct text){ .at = buffer, .size = 0, .capacity = capacity };
}

struct slice text_slice(const struct text *text)
{
	return (struct slice){ text->at, text->size };
}

void text_add_slice(struct text *text, struct slice more)
{
	size_t room = text->capacity - text->size - 1;
	size_t size = more.size < room ? more.size : room;

	if (size > 0)
		memcpy(text->at + text->size, more.at, size);
	text->size += size;
	text->at[text->size] = '\0';
}

void text_add(struct text *text, const char *more)
{
	text_add_slice(text, slice_of(more));
}

void text_add_padded(struct text *text, uint64_t number, unsigned digits)
{
	char decimal[24];
	size_t first = sizeof(decimal);

	do {
		decimal[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (first > 0 && (number > 0 || sizeof(decimal) - first < digits));
	text_add_slice(text, (struct slice){ decimal + first, sizeof(decimal) - first });
}

void text_add_number(struct text *text, uint64_t number)
{
	text_add_padded(text, number, 1);
}

void text_join(struct text *text, ...)
{
	va_list parts;
	const char *part;

	va_start(parts, text);
	while ((part = va_arg(parts, const char *)) != NULL)
		text_add(text, part);
	va_end(parts);
}

static void add_json_character(struct text *text, const char *character, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char byte = (unsigned char)character[0];

	if (size == 0) {
		text_add(text, "\\ufffd");
	} else if (byte == '"' || byte == '\\') {
		char escaped[] = { '\\', (char)byte, '\0' };

		text_add(text, escaped);
	} else if (byte == '\n') {
		text_add(text, "\\n");
	} else if (byte < 0x20 || byte == 0x7f) {
		char escaped[] = { '\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15], '\0' };

		text_add(text, escaped);
	} else {
		text_add_slice(text, (struct slice){ character, size });
	}
}

void text_add_json(struct text *text, struct slice more, size_t limit)
{
	size_t i = 0;

	text_add(text, "\"");
	while (i < more.size) {
		size_t size = utf8_sequence(more.at + i, more.size - i);

		if (i + size > limit) {
			text_add(text, "…");
			break;
		}
		add_json_character(text, more.at + i, size);
		i += size > 0 ? size : 1;
	}
	text_add(text, "\"");
}
