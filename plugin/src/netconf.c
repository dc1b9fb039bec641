/*
 * The network configuration. See netconf.h.
 */
#include "netconf.h"

#include "answer.h"
#include "json.h"
#include "name.h"
#include "text.h"

#define DEFAULT_RUN_DIR "/var/run/istio-cni"
#define DEFAULT_AGENT_WAIT_MS 15000
#define MAX_AGENT_WAIT_MS 60000
#define POD_ANNOTATIONS "io.kubernetes.cri.pod-annotations"

static const char no_annotations[] = "{}";
static const char *const versions[] = { NETCONF_VERSIONS };

noreturn static void refuse_key(const char *key, const char *accepted, struct slice value)
{
	char message_buffer[512];
	struct text message = TEXT(message_buffer);

	text_join(&message, "Cannot use \"", key, "\" of the network configuration: it is ", NULL);
	if (json_kind(value) == JSON_STRING || json_kind(value) == JSON_NUMBER)
		text_add_slice(&message, (struct slice){ value.at, value.size < 100 ? value.size : 100 });
	else
		text_add(&message, json_kind_name(value));
	text_join(&message, ", accepted is ", accepted, NULL);
	answer_error(CNI_INVALID_CONFIG, message.at, NULL);
}

/* The value of a key, absent (size 0) when there is none or it is null: what Go leaves at its zero value. */
static struct slice read_key(struct slice object, const char *key)
{
	struct slice value = { NULL, 0 };

	if (object.size > 0 && json_member(object, key, &value) && json_kind(value) == JSON_NULL)
		value.size = 0;
	return value;
}

static struct slice read_kind(struct slice object, const char *key, enum json_kind kind, const char *accepted)
{
	struct slice value = read_key(object, key);

	if (value.size > 0 && json_kind(value) != kind)
		refuse_key(key, accepted, value);
	return value;
}

/* Copies a string value; "" when absent. */
static void read_text(struct slice object, const char *key, struct text *text, const char *accepted)
{
	struct slice value = read_kind(object, key, JSON_STRING, accepted);

	if (value.size > 0 && !json_string_add(value, text))
		refuse_key(key, accepted, value);
}

struct slice netconf_check(struct slice input)
{
	char why_buffer[128], message_buffer[256], name_buffer[1001];
	struct text why = TEXT(why_buffer), message = TEXT(message_buffer), name = TEXT(name_buffer);
	struct slice object;

	if (!json_check(input, &object, &why)) {
		text_join(&message, "error unmarshall network config: ", why.at, NULL);
		answer_error(CNI_DECODING_FAILURE, message.at, NULL);
	}
	if (json_kind(object) == JSON_NULL)
		object.size = 0;
	else if (json_kind(object) != JSON_OBJECT)
		answer_error(CNI_DECODING_FAILURE, "error unmarshall network config: it is not a JSON object", NULL);

	read_text(object, "name", &name, "a string of at most 1000 bytes");
	if (name.size == 0)
		answer_error(CNI_INVALID_CONFIG, "missing network name", NULL);
	if (!name_is_valid(name.at))
		answer_error(CNI_INVALID_CONFIG, "invalid characters found in network name", name.at);
	return object;
}

static unsigned version_index(const char *version)
{
	unsigned i = 0;

	while (i < sizeof(versions) / sizeof(versions[0]) && strcmp(versions[i], version) != 0)
		i++;
	return i;
}

static void read_version(struct slice object, struct netconf *netconf)
{
	char details_buffer[256];
	struct text version = TEXT(netconf->cni_version), details = TEXT(details_buffer);

	read_text(object, "cniVersion", &version, "a string of at most 64 bytes");
	if (version.size == 0)
		text_add(&version, "0.1.0");
	answer_with_version(text_slice(&version));

	if (version_index(version.at) < sizeof(versions) / sizeof(versions[0]))
		return;
	text_join(&details, "config is \"", version.at, "\", plugin supports [", NULL);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		text_join(&details, i > 0 ? " \"" : "\"", versions[i], "\"", NULL);
	text_add(&details, "]");
	answer_error(CNI_INCOMPATIBLE_VERSION, "incompatible CNI versions", details.at);
}

bool netconf_version_at_least(const struct netconf *netconf, const char *version)
{
	return version_index(netconf->cni_version) >= version_index(version);
}

static bool read_bool(struct slice object, const char *key)
{
	struct slice value = read_key(object, key);

	if (value.size == 0 || json_kind(value) == JSON_FALSE)
		return false;
	if (json_kind(value) != JSON_TRUE)
		refuse_key(key, "true or false", value);
	return true;
}

static struct slice read_names(struct slice object, const char *key)
{
	struct slice names = read_kind(object, key, JSON_ARRAY, "an array of strings");
	struct json_walk walk;
	struct slice name;

	if (names.size == 0)
		return names;
	walk = json_walk(names);
	while (json_next_item(&walk, &name))
		if (json_kind(name) != JSON_STRING)
			refuse_key(key, "an array of strings", name);
	return names;
}

/* A whole number, negative ones as 0, large ones as the maximum. */
static int read_wait(struct slice object, const char *key)
{
	static const char accepted[] = "a whole number of milliseconds";
	struct slice value = read_kind(object, key, JSON_NUMBER, accepted);
	int number = 0;

	if (value.size == 0)
		return DEFAULT_AGENT_WAIT_MS;
	for (size_t i = value.at[0] == '-' ? 1 : 0; i < value.size; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			refuse_key(key, accepted, value);
		number = number * 10 + (value.at[i] - '0');
		if (number > MAX_AGENT_WAIT_MS)
			number = MAX_AGENT_WAIT_MS;
	}
	return value.at[0] == '-' ? 0 : number;
}

static void read_run_dir(struct slice object, struct netconf *netconf)
{
	static const char accepted[] = "an absolute path of at most 95 bytes";
	struct slice value = read_kind(object, "cni_agent_run_dir", JSON_STRING, accepted);
	struct text run_dir = TEXT(netconf->run_dir);

	if (value.size <= 2) {
		text_add(&run_dir, DEFAULT_RUN_DIR);
		return;
	}
	if (!json_string_add(value, &run_dir) || run_dir.at[0] != '/')
		refuse_key("cni_agent_run_dir", accepted, value);
}

struct netconf netconf_parse(struct slice object)
{
	struct netconf netconf = { .agent_wait_ms = DEFAULT_AGENT_WAIT_MS };
	struct slice runtime_config, annotations;

	read_version(object, &netconf);
	read_kind(object, "type", JSON_STRING, "a string");
	netconf.prev_result = read_kind(object, "prevResult", JSON_OBJECT, "an object");
	netconf.exclude_namespaces = read_names(object, "exclude_namespaces");
	netconf.pod_namespace = read_kind(object, "pod_namespace", JSON_STRING, "a string");
	netconf.ambient_enabled = read_bool(object, "ambient_enabled");
	netconf.agent_wait_ms = read_wait(object, "agent_wait_ms");
	read_run_dir(object, &netconf);

	/*
	 * The runtime's key, not an administrator's: null is how containerd writes a pod without annotations; any other form
	 * than an object tells nothing, and the agent is asked.
	 */
	runtime_config = read_kind(object, "runtimeConfig", JSON_OBJECT, "an object");
	if (runtime_config.size > 0 && json_member(runtime_config, POD_ANNOTATIONS, &annotations)) {
		if (json_kind(annotations) == JSON_OBJECT)
			netconf.pod_annotations = annotations;
		else if (json_kind(annotations) == JSON_NULL)
			netconf.pod_annotations = (struct slice){ no_annotations, sizeof(no_annotations) - 1 };
	}
	return netconf;
}
