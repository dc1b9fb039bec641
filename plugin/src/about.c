/*
 * What the plugin says of itself. See about.h.
 */
#include "about.h"

#include <unistd.h>

#include "answer.h"
#include "netconf.h"
#include "text.h"

/* Given by the build, from package.json. */
#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION "unversioned"
#endif

static const char *const versions[] = { NETCONF_VERSIONS };

const char *about_version(void)
{
	return PLUGIN_VERSION;
}

noreturn void about_print_usage(void)
{
	char buffer[512];
	struct text usage = TEXT(buffer);

	text_add(&usage, "CNI plugin istio-cni " PLUGIN_VERSION "\nCNI protocol versions supported: ");
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		text_join(&usage, i > 0 ? ", " : "", versions[i], NULL);
	text_add(&usage, "\n");
	_exit(write(STDERR_FILENO, usage.at, usage.size) < 0 ? 1 : 0);
}

noreturn void about_print_versions(void)
{
	char buffer[512];
	struct text json = TEXT(buffer);

	text_add(&json, "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[");
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		text_join(&json, i > 0 ? "," : "", "\"", versions[i], "\"", NULL);
	text_add(&json, "]}\n");
	answer_success(text_slice(&json));
}
