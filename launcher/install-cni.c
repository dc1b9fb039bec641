/*
 * install-cni: starts the node agent. A static program, so that it runs before anything is known to be in place:
 * finds the agent's parts beside itself, goes through tini when it is process 1, hands its capabilities on,
 * drops what could change how Node behaves, and becomes Node. It stays out of memory and decides nothing else.
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the parts lie, from the folder above the launcher's own: /usr/local/bin/install-cni -> /usr/local/lib/… */
#define PARTS "/lib/istio-install-cni"

#define TINI "/usr/bin/tini"

/* Set for the way through tini: whoever finds it there has been started by tini and does not go again. */
#define TINI_GUARD "ISTIO_INSTALL_CNI_UNDER_TINI"

/*
 * ---- Node's fixed flags: the one place to tune the agent's runtime ----
 * OPENSSL_CONFIG is defined when the launcher of a FIPS image is compiled. FIPS mode is then in the program and not in
 * a variable or file that could be missing: Node ends when the configuration or its module cannot be had.
 */
static const char *const node_flags[] = {
	"--disable-warning=ExperimentalWarning",
	"--max-semi-space-size=1",
#ifdef OPENSSL_CONFIG
	("--openssl-config=" OPENSSL_CONFIG),
	"--force-fips",
#endif
};
/* ------------------------------------------------------------------------ */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

extern char **environ;

/* Adds the texts up to the closing NULL to a line that is cut at its end, not beyond. */
static size_t join(char *line, size_t capacity, const char *const *parts)
{
	size_t size = 0;

	for (; *parts != NULL; parts++) {
		size_t more = strlen(*parts);

		if (more > capacity - size - 1)
			more = capacity - size - 1;
		memcpy(line + size, *parts, more);
		size += more;
	}
	line[size] = '\0';
	return size;
}

noreturn static void die(const char *what, const char *path, const char *why)
{
	char line[PATH_MAX + 256];
	size_t size = join(line, sizeof(line), (const char *const[]){ "install-cni: ", what, path, ": ", why, "\n", NULL });

	if (write(STDERR_FILENO, line, size) < 0)
		_exit(1);
	_exit(1);
}

/* The launcher's own file: by /proc, else by the path it was called with. */
static void find_self(char self[PATH_MAX], const char *called_as)
{
	ssize_t size = readlink("/proc/self/exe", self, PATH_MAX - 1);

	if (size > 0) {
		self[size] = '\0';
		return;
	}
	if (called_as == NULL || strchr(called_as, '/') == NULL || realpath(called_as, self) == NULL)
		die("Cannot find the folder of ", called_as != NULL ? called_as : "install-cni",
		    "/proc/self/exe cannot be read and the name has no path; mount /proc or call it by its full path");
}

/* The path of a part, which must be there: a sentence about the missing file is worth more than Node's stack trace. */
static void find_part(char path[PATH_MAX], const char *self, const char *name, int mode)
{
	char above[PATH_MAX];

	strcpy(above, self);
	for (int i = 0; i < 2; i++) {
		char *slash = strrchr(above, '/');

		if (slash != NULL)
			*slash = '\0';
	}
	if (strlen(above) + sizeof(PARTS) + 1 + strlen(name) > PATH_MAX)
		die("Cannot start the agent: ", self, strerror(ENAMETOOLONG));
	join(path, PATH_MAX, (const char *const[]){ above, PARTS, "/", name, NULL });
	if (access(path, mode) != 0)
		die("Cannot start the agent: ", path, strerror(errno));
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * Whether a variable must not reach Node. Its loader, OpenSSL, libuv and libc read these, and Node is not protected
 * by AT_SECURE when its capabilities are ambient ones. Upstream's contract uses one NODE_ name, which stays.
 */
static bool is_unwanted(const char *variable)
{
	static const char *const kept[] = { "NODE_NAME=" };
	static const char *const prefixes[] = {
		"NODE_", "LD_", "OPENSSL_", "SSL_CERT_", "UV_", "MALLOC_", "GLIBC_TUNABLES=", "GCONV_PATH=", "SSLKEYLOGFILE=",
		"ICU_DATA=", TINI_GUARD "=",
	};

	for (size_t i = 0; i < COUNT(kept); i++)
		if (has_prefix(variable, kept[i]))
			return false;
	for (size_t i = 0; i < COUNT(prefixes); i++)
		if (has_prefix(variable, prefixes[i]))
			return true;
	return false;
}

/* Drops unwanted variables in place, and sets the one that Node is to have. */
static void clean_environment(void)
{
	static char one_arena[] = "MALLOC_ARENA_MAX=1";
	char **kept = environ;

	for (char **each = environ; *each != NULL; each++)
		if (!is_unwanted(*each))
			*kept++ = *each;
	*kept = NULL;
	/* glibc gives each thread that allocates an arena of its own, of which Node's eleven threads keep megabytes. */
	putenv(one_arena);
}

/*
 * Makes what is permitted here inheritable and ambient, so that it survives the exec of Node, which carries no file
 * capabilities. With none, or where the kernel forbids it, there is nothing to do: the agent says what it lacks.
 */
static void hand_on_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (syscall(SYS_capget, &header, sets) != 0)
		return;
	for (size_t i = 0; i < COUNT(sets); i++) {
		sets[i].effective = sets[i].permitted;
		sets[i].inheritable = sets[i].permitted;
	}
	if (syscall(SYS_capset, &header, sets) != 0)
		return;
	for (unsigned capability = 0; capability < 64; capability++)
		if ((sets[capability / 32].permitted & (1u << capability % 32)) != 0)
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)capability, 0ul, 0ul);
}

/* A descriptor per pod namespace and socket: the soft limit of 1024 is for programs that use select(2). */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* exec with the given first arguments, then the user's. Returns only when it failed, with errno. */
static void execute(const char *program, const char *const *first, size_t first_count, char **user, size_t user_count)
{
	const char **arguments = calloc(first_count + user_count + 1, sizeof(char *));
	union {
		const char **read_only;
		char *const *for_exec;
	} list = { .read_only = arguments };

	if (arguments == NULL)
		return;
	for (size_t i = 0; i < first_count; i++)
		arguments[i] = first[i];
	for (size_t i = 0; i < user_count; i++)
		arguments[first_count + i] = user[i];
	execve(program, list.for_exec, environ);
	free(arguments);
}

/* As process 1 nobody reaps orphans or has default signal actions; tini does both, and the chart bypasses the image's. */
static void go_through_tini(const char *self, char **user, size_t user_count)
{
	const char *const first[] = { "tini", "-g", "--", self };

	if (getpid() != 1 || getenv(TINI_GUARD) != NULL || access(TINI, X_OK) != 0)
		return;
	clean_environment();
	if (putenv((char[]){ TINI_GUARD "=1" }) == 0)
		execute(TINI, first, COUNT(first), user, user_count);
	die("Cannot start the agent: ", TINI, strerror(errno));
}

int main(int argc, char **argv)
{
	char **user = argc > 0 ? argv + 1 : argv;
	size_t user_count = argc > 0 ? (size_t)argc - 1 : 0;
	char self[PATH_MAX], node[PATH_MAX], agent[PATH_MAX], koffi[PATH_MAX];
	const char *first[COUNT(node_flags) + 2];

	find_self(self, argc > 0 ? argv[0] : NULL);
	find_part(node, self, "node", X_OK);
	find_part(agent, self, "agent.mjs", R_OK);
	find_part(koffi, self, "koffi.node", R_OK);
	go_through_tini(self, user, user_count);

	clean_environment();
	raise_descriptor_limit();
	hand_on_capabilities();

	first[0] = "install-cni";
	for (size_t i = 0; i < COUNT(node_flags); i++)
		first[1 + i] = node_flags[i];
	first[COUNT(first) - 1] = agent;
	execute(node, first, COUNT(first), user, user_count);
	die("Cannot start the agent: ", node, strerror(errno));
}
