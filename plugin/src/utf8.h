/*
 * What counts as UTF-8: RFC 3629, so no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that begins at text (1 to 4), or 0 when no whole valid character begins there. */
size_t utf8_sequence(const char *text, size_t size);

/* Writes the character to out (room for 4) and returns its number of bytes. The code point must be valid. */
size_t utf8_encode(uint32_t code_point, char *out);

#endif
