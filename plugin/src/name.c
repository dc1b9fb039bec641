/*
 * Names of networks and containers. See name.h.
 */
#include "name.h"

#include <string.h>

static bool is_alphanumeric(char character)
{
	return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
	       (character >= '0' && character <= '9');
}

bool name_is_valid(const char *text)
{
	if (!is_alphanumeric(text[0]))
		return false;
	for (const char *at = text; *at != '\0'; at++)
		if (!is_alphanumeric(*at) && strchr("_.-", *at) == NULL)
			return false;
	return true;
}
