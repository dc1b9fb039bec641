/*
 * The CNI_* variables. See env.h.
 */
#include "env.h"

#include <stdlib.h>
#include <strings.h>

#include "answer.h"
#include "name.h"
#include "text.h"

#define VARIABLE_MAX (64u * 1024)
#define IFNAME_MAX 15

#define FOR(command) (1u << (command))

static const struct {
	const char *text;
	enum cni_command command;
} commands[] = {
	{ "", CNI_NO_COMMAND }, { "ADD", CNI_ADD },       { "DEL", CNI_DEL },         { "CHECK", CNI_CHECK },
	{ "GC", CNI_GC },       { "STATUS", CNI_STATUS }, { "VERSION", CNI_VERSION },
};

static const char *read_variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

struct cni_env env_read(void)
{
	struct cni_env env = {
		.command = CNI_UNKNOWN_COMMAND,
		.command_text = read_variable("CNI_COMMAND"),
		.container_id = read_variable("CNI_CONTAINERID"),
		.netns = read_variable("CNI_NETNS"),
		.ifname = read_variable("CNI_IFNAME"),
		.args = read_variable("CNI_ARGS"),
		.path = read_variable("CNI_PATH"),
	};
	const char *override = read_variable("CNI_NETNS_OVERRIDE");

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(env.command_text, commands[i].text) == 0)
			env.command = commands[i].command;
	env.netns_override = strcasecmp(override, "true") == 0 || strcmp(override, "1") == 0;
	return env;
}

static void check_container_id(const char *id)
{
	if (!name_is_valid(id))
		answer_error(CNI_INVALID_ENVIRONMENT, "invalid characters in containerID", id);
}

static void check_ifname(const char *ifname)
{
	if (strlen(ifname) > IFNAME_MAX)
		answer_error(CNI_INVALID_ENVIRONMENT, "interface name is too long",
			     "interface name should be less than 16 characters");
	if (strcmp(ifname, ".") == 0 || strcmp(ifname, "..") == 0)
		answer_error(CNI_INVALID_ENVIRONMENT, "interface name is . or ..", NULL);
	if (strpbrk(ifname, "/: \t\n\v\f\r") != NULL)
		answer_error(CNI_INVALID_ENVIRONMENT, "interface name contains / or : or whitespace characters", NULL);
}

void env_check(const struct cni_env *env)
{
	const unsigned attachment = FOR(CNI_ADD) | FOR(CNI_CHECK) | FOR(CNI_DEL);
	const struct {
		const char *name;
		const char *value;
		unsigned required_for;
		void (*check)(const char *value);
	} variables[] = {
		{ "CNI_CONTAINERID", env->container_id, attachment, check_container_id },
		{ "CNI_NETNS", env->netns, FOR(CNI_ADD) | FOR(CNI_CHECK), NULL },
		{ "CNI_IFNAME", env->ifname, attachment, check_ifname },
		{ "CNI_ARGS", env->args, 0, NULL },
		{ "CNI_PATH", env->path, attachment | FOR(CNI_GC) | FOR(CNI_STATUS), NULL },
	};
	char missing_buffer[128], message_buffer[256];
	struct text missing = TEXT(missing_buffer), message = TEXT(message_buffer);

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		bool required = (variables[i].required_for & FOR(env->command)) != 0;

		if (strlen(variables[i].value) > VARIABLE_MAX) {
			text_join(&message, "Cannot use ", variables[i].name, ": it is larger than 65536 bytes", NULL);
			answer_error(CNI_INVALID_ENVIRONMENT, message.at, NULL);
		}
		if (!required)
			continue;
		if (variables[i].value[0] == '\0')
			text_join(&missing, missing.size > 0 ? "," : "", variables[i].name, NULL);
		else if (variables[i].check != NULL)
			variables[i].check(variables[i].value);
	}
	if (missing.size > 0) {
		text_join(&message, "required env variables [", missing.at, "] missing", NULL);
		answer_error(CNI_INVALID_ENVIRONMENT, message.at, NULL);
	}
}

noreturn static void refuse_pair(const char *what, struct slice pair, const char *after)
{
	char buffer[1024];
	struct text message = TEXT(buffer);

	text_join(&message, "ARGS: ", what, " ", NULL);
	/* Room is kept for what comes after a pair of any length. */
	text_add_json(&message, pair, 128);
	text_add(&message, after);
	answer_error(CNI_INVALID_ENVIRONMENT, message.at, "CNI_ARGS must be KEY=VALUE pairs, separated by semicolons");
}

noreturn static void refuse_unknown(const struct text *unknown)
{
	char buffer[1200];
	struct text message = TEXT(buffer);

	text_join(&message, "ARGS: unknown args [", unknown->at, "]", NULL);
	answer_error(CNI_INVALID_ENVIRONMENT, message.at,
		     "accepted are K8S_POD_NAME, K8S_POD_NAMESPACE, K8S_POD_UID, K8S_POD_INFRA_CONTAINER_ID, IgnoreUnknown");
}

static bool parse_bool(struct slice value, struct slice pair)
{
	char lower[8];

	for (size_t i = 0; i < sizeof(lower); i++)
		lower[i] = i < value.size ? (char)(value.at[i] | 0x20) : '\0';
	if (slice_is(value, "1") || (value.size == 4 && memcmp(lower, "true", 4) == 0))
		return true;
	if (!slice_is(value, "0") && !(value.size == 5 && memcmp(lower, "false", 5) == 0))
		refuse_pair("error parsing value of pair", pair, ": not a boolean, accepted are 1, true, 0, false");
	return false;
}

/* Cuts the text up to the next separator off rest. False when rest is used up. */
static bool next_pair(const char **rest, struct slice *pair)
{
	const char *separator;

	if (*rest == NULL)
		return false;
	separator = strchr(*rest, ';');
	*pair = separator != NULL ? (struct slice){ *rest, (size_t)(separator - *rest) } : slice_of(*rest);
	*rest = separator != NULL ? separator + 1 : NULL;
	return true;
}

struct cni_args env_parse_args(const struct cni_env *env)
{
	struct cni_args args = { .pod_name = { "", 0 }, .pod_namespace = { "", 0 } };
	const char *rest = env->args[0] != '\0' ? env->args : NULL;
	char unknown_buffer[1000];
	struct text unknown = TEXT(unknown_buffer);
	struct slice pair;
	bool ignore_unknown = false;

	while (next_pair(&rest, &pair)) {
		const char *equals = memchr(pair.at, '=', pair.size);
		struct slice key, value;

		if (equals == NULL || memchr(equals + 1, '=', pair.size - (size_t)(equals + 1 - pair.at)) != NULL)
			refuse_pair("invalid pair", pair, "");
		key = (struct slice){ pair.at, (size_t)(equals - pair.at) };
		value = (struct slice){ equals + 1, pair.size - key.size - 1 };

		if (slice_is(key, "K8S_POD_NAME"))
			args.pod_name = value;
		else if (slice_is(key, "K8S_POD_NAMESPACE"))
			args.pod_namespace = value;
		else if (slice_is(key, "IgnoreUnknown"))
			ignore_unknown = parse_bool(value, pair);
		else if (!slice_is(key, "K8S_POD_UID") && !slice_is(key, "K8S_POD_INFRA_CONTAINER_ID")) {
			text_add(&unknown, unknown.size > 0 ? " " : "");
			text_add_json(&unknown, pair, 128);
		}
	}
	if (unknown.size > 0 && !ignore_unknown)
		refuse_unknown(&unknown);
	return args;
}
