/*
 * Reading the agent's state file. See state.h.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "text.h"

#define STATE_FILE "/plugin-state"

/* Untouched pages of this cost nothing. One byte more tells "too large". */
static char buffer[STATE_MAX + 1];

/* Who else could write the file could have any pod pass; who made it a symlink or a pipe is not the agent. */
static bool is_trustworthy(int fd)
{
	struct stat file;

	return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_uid == geteuid() &&
	       (file.st_mode & (S_IWGRP | S_IWOTH)) == 0 && file.st_size <= (off_t)STATE_MAX;
}

static bool read_all(int fd, struct slice *content)
{
	size_t size = 0;

	while (size < sizeof(buffer)) {
		ssize_t got = read(fd, buffer + size, sizeof(buffer) - size);

		if (got == 0) {
			*content = (struct slice){ buffer, size };
			return true;
		}
		if (got < 0 && errno != EINTR)
			return false;
		if (got > 0)
			size += (size_t)got;
	}
	return false;
}

static bool load(const char *run_dir, struct slice *content)
{
	char path_buffer[128];
	struct text path = TEXT(path_buffer);
	bool is_read;
	int fd;

	text_join(&path, run_dir, STATE_FILE, NULL);
	fd = open(path.at, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	is_read = is_trustworthy(fd) && read_all(fd, content);
	close(fd);
	return is_read;
}

/* False when the value is there and is no array of strings. */
static bool read_names(struct slice object, const char *key, struct slice *names, bool *is_there)
{
	struct json_walk walk;
	struct slice name;

	*is_there = json_member(object, key, names);
	if (!*is_there)
		return true;
	if (json_kind(*names) != JSON_ARRAY)
		return false;
	walk = json_walk(*names);
	while (json_next_item(&walk, &name))
		if (json_kind(name) != JSON_STRING)
			return false;
	return true;
}

/* One of two words; false for anything else. */
static bool read_word(struct slice object, const char *key, const char *no, const char *yes, bool *is_yes)
{
	struct slice value;

	if (!json_member(object, key, &value) || json_kind(value) != JSON_STRING)
		return false;
	*is_yes = json_string_is(value, slice_of(yes));
	return *is_yes || json_string_is(value, slice_of(no));
}

bool state_read(const char *run_dir, struct state *state)
{
	char why_buffer[128];
	struct text why = TEXT(why_buffer);
	struct slice content, object, version;
	bool has_excluded, has_enrolling, has_pod_enrolling;

	if (!load(run_dir, &content) || !json_check(content, &object, &why) || json_kind(object) != JSON_OBJECT ||
	    !json_member(object, "version", &version) || !slice_is(version, STATE_VERSION))
		return false;
	*state = (struct state){ 0 };
	if (!read_word(object, "mode", "sidecar", "ambient", &state->is_ambient) ||
	    !read_word(object, "when_away", "enroll-later", "strict", &state->is_strict) ||
	    !read_names(object, "excluded_namespaces", &state->excluded_namespaces, &has_excluded) || !has_excluded ||
	    !read_names(object, "enrolling_namespaces", &state->enrolling_namespaces, &has_enrolling) ||
	    !read_names(object, "pod_enrolling_namespaces", &state->pod_enrolling_namespaces, &has_pod_enrolling))
		return false;
	state->knows_enrollment = has_enrolling && has_pod_enrolling;
	return true;
}
