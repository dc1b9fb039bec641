/*
 * Log lines on stderr. See log.h.
 */
#include "log.h"

#include <time.h>
#include <unistd.h>

#include "text.h"

#define MESSAGE_MAX 2000
#define NAME_MAX_SHOWN 300

static struct slice about_namespace, about_name, about_container;

void log_about(struct slice pod_namespace, struct slice pod_name, const char *container_id)
{
	about_namespace = pod_namespace;
	about_name = pod_name;
	about_container = slice_of(container_id);
}

static void add_time(struct text *line)
{
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	text_add_padded(line, (uint64_t)(utc.tm_year + 1900), 4);
	text_add(line, "-");
	text_add_padded(line, (uint64_t)(utc.tm_mon + 1), 2);
	text_add(line, "-");
	text_add_padded(line, (uint64_t)utc.tm_mday, 2);
	text_add(line, "T");
	text_add_padded(line, (uint64_t)utc.tm_hour, 2);
	text_add(line, ":");
	text_add_padded(line, (uint64_t)utc.tm_min, 2);
	text_add(line, ":");
	text_add_padded(line, (uint64_t)utc.tm_sec, 2);
	text_add(line, ".");
	text_add_padded(line, (uint64_t)now.tv_nsec / 1000, 6);
	text_add(line, "Z");
}

static void add_label(struct text *line, const char *label, struct slice value)
{
	if (value.size == 0)
		return;
	text_join(line, ",\"", label, "\":", NULL);
	text_add_json(line, value, NAME_MAX_SHOWN);
}

static void log_line(const char *level, struct slice message)
{
	char buffer[24 * 1024];
	struct text line = TEXT(buffer);

	text_join(&line, "{\"level\":\"", level, "\",\"time\":\"", NULL);
	add_time(&line);
	text_add(&line, "\",\"scope\":\"cni-plugin\",\"msg\":");
	text_add_json(&line, message, MESSAGE_MAX);
	add_label(&line, "namespace", about_namespace);
	add_label(&line, "pod", about_name);
	add_label(&line, "container", about_container);
	text_add(&line, "}\n");

	/* One write, so that lines of plugins that run at the same time do not mix; a lost line is no error. */
	if (write(STDERR_FILENO, line.at, line.size) < 0)
		return;
}

void log_info(const char *message)
{
	log_line("info", slice_of(message));
}

void log_warn(const char *message)
{
	log_line("warn", slice_of(message));
}

void log_from_agent(struct slice message)
{
	log_line("info", message);
}
