/*
 * UTF-8 validation and encoding. See utf8.h.
 */
#include "utf8.h"

#include <stdbool.h>

static bool within(unsigned char byte, unsigned char low, unsigned char high)
{
	return byte >= low && byte <= high;
}

size_t utf8_sequence(const char *text, size_t size)
{
	const unsigned char *byte = (const unsigned char *)text;
	size_t length;
	unsigned char low = 0x80, high = 0xbf;

	if (size == 0)
		return 0;
	if (byte[0] < 0x80)
		return 1;

	if (within(byte[0], 0xc2, 0xdf))
		length = 2;
	else if (within(byte[0], 0xe0, 0xef))
		length = 3;
	else if (within(byte[0], 0xf0, 0xf4))
		length = 4;
	else
		return 0;

	/* The second byte is where overlong forms, surrogates and too large numbers show. */
	if (byte[0] == 0xe0)
		low = 0xa0;
	else if (byte[0] == 0xed)
		high = 0x9f;
	else if (byte[0] == 0xf0)
		low = 0x90;
	else if (byte[0] == 0xf4)
		high = 0x8f;

	if (size < length || !within(byte[1], low, high))
		return 0;
	for (size_t i = 2; i < length; i++)
		if (!within(byte[i], 0x80, 0xbf))
			return 0;
	return length;
}

size_t utf8_encode(uint32_t code_point, char *out)
{
	if (code_point < 0x80) {
		out[0] = (char)code_point;
		return 1;
	}
	if (code_point < 0x800) {
		out[0] = (char)(0xc0 | (code_point >> 6));
		out[1] = (char)(0x80 | (code_point & 0x3f));
		return 2;
	}
	if (code_point < 0x10000) {
		out[0] = (char)(0xe0 | (code_point >> 12));
		out[1] = (char)(0x80 | ((code_point >> 6) & 0x3f));
		out[2] = (char)(0x80 | (code_point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | (code_point >> 18));
	out[1] = (char)(0x80 | ((code_point >> 12) & 0x3f));
	out[2] = (char)(0x80 | ((code_point >> 6) & 0x3f));
	out[3] = (char)(0x80 | (code_point & 0x3f));
	return 4;
}
