/*
 * The plugin's readers in one process that outlives their refusals, for fuzzing under sanitizers: reads inputs from stdin, tells
 * of each what it did and which ways through the code were new. Compiled by plugin-program.ts, where _exit() and write() are
 * renamed to the functions below; the plugin's sources are otherwise as they are shipped.
 *
 * stdin: length (4 bytes, little-endian), bytes, and so on. stdout, after each: length and text of one JSON line, number of
 * features, each 4 bytes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Their static functions and state are needed here. */
#include "../../plugin/src/answer.c"
#undef MESSAGE_MAX
#include "../../plugin/src/agent.c"
#define main plugin_main
#include "../../plugin/src/main.c"
#undef main

#define UNTOUCHED __attribute__((no_sanitize_coverage))
#define MAP_SIZE 65536u
#define CAPTURE_MAX (4u * 1024 * 1024)

static unsigned char was_seen[MAP_SIZE];
static uint32_t new_features[MAP_SIZE];
static uint32_t new_count;
static uintptr_t previous_place;

static jmp_buf ending;
static int exit_code;
static char *captured;
static size_t captured_size;
static char run_dir[64];

void __sanitizer_cov_trace_pc(void);

UNTOUCHED void __sanitizer_cov_trace_pc(void)
{
	uintptr_t place = (uintptr_t)__builtin_return_address(0);
	uint32_t way = (uint32_t)((place ^ (previous_place >> 1)) * 2654435761u) >> 16;

	previous_place = place;
	if (!was_seen[way]) {
		was_seen[way] = 1;
		new_features[new_count++] = way;
	}
}

noreturn void fuzz_exit(int code)
{
	exit_code = code;
	longjmp(ending, 1);
}

ssize_t fuzz_write(int fd, const void *bytes, size_t size)
{
	if (fd == STDOUT_FILENO) {
		if (captured_size + size > CAPTURE_MAX)
			abort();
		memcpy(captured + captured_size, bytes, size);
		captured_size += size;
	}
	return (ssize_t)size;
}

static void tell_slice(FILE *out, const char *name, struct slice value)
{
	fprintf(out, ",\"%s\":\"", name);
	for (size_t i = 0; i < value.size; i++)
		fprintf(out, "%02x", (unsigned char)value.at[i]);
	fputc('"', out);
}

/* The texts of a JSON array of strings, their escapes resolved; null for one that does not fit. */
static void tell_names(FILE *out, const char *name, struct slice array)
{
	struct json_walk walk;
	struct slice item;
	const char *comma = "";

	fprintf(out, ",\"%s\":[", name);
	if (array.size > 0) {
		walk = json_walk(array);
		while (json_next_item(&walk, &item)) {
			static char buffer[256 * 1024];
			struct text text = TEXT(buffer);

			fputs(comma, out);
			comma = ",";
			if (!json_string_add(item, &text)) {
				fputs("null", out);
				continue;
			}
			fputc('"', out);
			for (size_t i = 0; i < text.size; i++)
				fprintf(out, "%02x", (unsigned char)text.at[i]);
			fputc('"', out);
		}
	}
	fputc(']', out);
}

/* Lines NAME=VALUE up to an empty one become the environment; what follows is stdin. Without an empty line all is stdin. */
static struct slice take_environment(struct slice input)
{
	static const char *const names[] = { "CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH" };
	static const char *const usual[] = { "ADD", "c1", "/proc/1/ns/net", "eth0", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;IgnoreUnknown=1", "/x" };
	const char *end = input.size > 1 ? memmem(input.at, input.size, "\n\n", 2) : NULL;
	const char *at = input.at;

	unsetenv("CNI_NETNS_OVERRIDE");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		setenv(names[i], usual[i], 1);
	if (end == NULL)
		return input;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t size = (size_t)((newline != NULL ? newline : end) - at);
		char *line = strndup(at, size);
		char *equals = strchr(line, '=');

		if (equals != NULL && strncmp(line, "CNI_", 4) == 0) {
			*equals = '\0';
			setenv(line, equals + 1, 1);
		}
		free(line);
		at += size + 1;
	}
	return (struct slice){ end + 2, input.size - (size_t)(end + 2 - input.at) };
}

static FILE *result;

/* As main() does it, but for reading stdin, asking the agent and looking at the namespace. */
noreturn static void read_request(struct slice input)
{
	struct slice document = take_environment(input), object;
	struct request request = { .env = env_read() };
	enum decision decision;

	if (request.env.command == CNI_DEL)
		answer_always_succeeds();
	env_check(&request.env);
	request.input = document;
	object = netconf_check(request.input);
	fprintf(result, ",\"isChecked\":true");
	if (request.env.command == CNI_UNKNOWN_COMMAND)
		refuse_command(&request.env);
	request.netconf = netconf_parse(object);
	fprintf(result, ",\"isParsed\":true");
	if (request.env.command == CNI_GC || request.env.command == CNI_STATUS)
		require_version(&request, "1.1.0");
	if (request.env.command == CNI_CHECK)
		require_version(&request, "0.4.0");
	tell_slice(result, "version", slice_of(request.netconf.cni_version));
	tell_slice(result, "prevResult", request.netconf.prev_result);
	tell_slice(result, "runDir", slice_of(request.netconf.run_dir));
	tell_names(result, "excluded", request.netconf.exclude_namespaces);
	fprintf(result, ",\"waitMs\":%d,\"toldAnnotations\":%s", request.netconf.agent_wait_ms,
		request.netconf.pod_annotations.size > 0 ? "true" : "false");
	request.args = env_parse_args(&request.env);
	tell_slice(result, "podName", request.args.pod_name);
	tell_slice(result, "podNamespace", request.args.pod_namespace);
	log_about(request.args.pod_namespace, request.args.pod_name, request.env.container_id);
	decision = decide(&request.args, &request.netconf);
	fprintf(result, ",\"decision\":%d", (int)decision);
	if (request.env.command == CNI_ADD && decision == ASK_AGENT)
		refuse_unanswered(&request, "nobody is there");
	if (request.env.command == CNI_ADD)
		pass(&request.netconf);
	answer_success((struct slice){ "", 0 });
}

/* As exchange() and relay() do it: the bytes are what came from the agent, for CHECK where their last one is odd. */
noreturn static void read_answer(struct slice input)
{
	char why_buffer[512];
	struct text why = TEXT(why_buffer);
	struct request request = { .env = { .command = CNI_ADD } };
	struct frame_header header;
	struct agent_answer answer;
	struct slice payload;

	if (input.size > 0 && (input.at[input.size - 1] & 1) != 0)
		request.env.command = CNI_CHECK;
	request.netconf.prev_result = slice_of("{\"prev\":1}");
	strcpy(request.netconf.cni_version, "1.0.0");
	if (input.size < FRAME_HEADER_SIZE || !frame_parse_header((const unsigned char *)input.at, &header) ||
	    header.payload_size > FRAME_ANSWER_MAX || header.payload_size > input.size - FRAME_HEADER_SIZE)
		fuzz_exit(99);
	payload = (struct slice){ input.at + FRAME_HEADER_SIZE, header.payload_size };
	if (!understand(&header, payload, &answer, &why)) {
		tell_slice(result, "why", text_slice(&why));
		refuse_unanswered(&request, why.at);
	}
	fprintf(result, ",\"isUnderstood\":true,\"answered\":%u", answer.exit_code);
	relay(&request, &answer);
}

noreturn static void read_state(struct slice input)
{
	char path[96];
	struct state state;
	int fd;

	snprintf(path, sizeof(path), "%s/plugin-state", run_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || syscall(SYS_write, fd, input.at, input.size) != (ssize_t)input.size)
		abort();
	close(fd);
	if (!state_read(run_dir, &state))
		fuzz_exit(1);
	fprintf(result, ",\"isAmbient\":%d,\"isStrict\":%d,\"knows\":%d", state.is_ambient, state.is_strict, state.knows_enrollment);
	tell_names(result, "excluded", state.excluded_namespaces);
	if (state.knows_enrollment) {
		tell_names(result, "enrolling", state.enrolling_namespaces);
		tell_names(result, "podEnrolling", state.pod_enrolling_namespaces);
	}
	fuzz_exit(0);
}

static void walk_all(struct slice value, unsigned *parts)
{
	struct json_walk walk;
	struct slice key, item;
	enum json_kind kind = json_kind(value);

	(*parts)++;
	json_kind_name(value);
	if (kind == JSON_STRING) {
		static char buffer[4096];
		struct text text = TEXT(buffer);

		json_string_add(value, &text);
		if (!json_string_is(value, text_slice(&text)) && text.size + 8 < sizeof(buffer) && memchr(value.at, 'u', value.size) == NULL)
			abort();
	} else if (kind == JSON_ARRAY) {
		walk = json_walk(value);
		while (json_next_item(&walk, &item))
			walk_all(item, parts);
	} else if (kind == JSON_OBJECT) {
		walk = json_walk(value);
		while (json_next_member(&walk, &key, &item))
			walk_all(item, parts);
	}
}

noreturn static void read_json(struct slice input)
{
	char why_buffer[128], shown_buffer[2048];
	struct text why = TEXT(why_buffer), shown = TEXT(shown_buffer);
	struct slice value;
	unsigned parts = 0;

	text_add_json(&shown, input, 300);
	tell_slice(result, "shown", text_slice(&shown));
	if (!json_check(input, &value, &why)) {
		tell_slice(result, "why", text_slice(&why));
		fuzz_exit(1);
	}
	walk_all(value, &parts);
	fprintf(result, ",\"parts\":%u", parts);
	tell_slice(result, "value", value);
	fuzz_exit(0);
}

static void (*reader_called(const char *name))(struct slice)
{
	if (strcmp(name, "plugin-request") == 0)
		return read_request;
	if (strcmp(name, "plugin-answer") == 0)
		return read_answer;
	if (strcmp(name, "plugin-state") == 0)
		return read_state;
	return strcmp(name, "plugin-json") == 0 ? read_json : NULL;
}

/* A copy of just the input's size, so that the sanitizer sees every byte read beyond it. */
UNTOUCHED static void run_one(void (*reader)(struct slice), const char *bytes, uint32_t size)
{
	char *volatile text = NULL;
	char *volatile copy = malloc(size > 0 ? size : 1);
	size_t text_size = 0;
	uint32_t length;

	memcpy(copy, bytes, size);
	new_count = 0;
	previous_place = 0;
	captured_size = 0;
	always_succeeds = false;
	version = (struct text){ 0 };
	result = open_memstream((char **)&text, &text_size);
	fputs("{\"input\":1", result);
	if (setjmp(ending) == 0)
		reader((struct slice){ copy, size });
	log_about(slice_of(""), slice_of(""), "");
	fprintf(result, ",\"exit\":%d", exit_code);
	tell_slice(result, "stdout", (struct slice){ captured, captured_size });
	fputs("}", result);
	fclose(result);
	length = (uint32_t)text_size;
	fwrite(&length, sizeof(length), 1, stdout);
	fwrite(text, 1, length, stdout);
	fwrite(&new_count, sizeof(new_count), 1, stdout);
	fwrite(new_features, sizeof(new_features[0]), new_count, stdout);
	fflush(stdout);
	free(text);
	free(copy);
}

UNTOUCHED int main(int argc, char *argv[])
{
	void (*reader)(struct slice) = argc == 3 ? reader_called(argv[1]) : NULL;
	uint32_t size;

	if (reader == NULL || snprintf(run_dir, sizeof(run_dir), "%s", argv[2]) >= (int)sizeof(run_dir)) {
		fputs("usage: plugin-readers plugin-request|plugin-answer|plugin-state|plugin-json RUN_DIR\n", stderr);
		return 2;
	}
	captured = malloc(CAPTURE_MAX);
	while (fread(&size, sizeof(size), 1, stdin) == 1) {
		char *bytes = malloc(size > 0 ? size : 1);

		if (fread(bytes, 1, size, stdin) != size)
			return 2;
		run_one(reader, bytes, size);
		free(bytes);
	}
	free(captured);
	return 0;
}
