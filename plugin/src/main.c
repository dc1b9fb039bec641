/*
 * istio-cni: the CNI plugin. Reads the runtime's request, passes what is provably not in the mesh, asks the node agent
 * about everything else and prints its answer. It holds no state, starts no process and changes nothing itself.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "about.h"
#include "agent.h"
#include "answer.h"
#include "decide.h"
#include "env.h"
#include "input.h"
#include "json.h"
#include "log.h"
#include "netconf.h"
#include "netns.h"
#include "state.h"
#include "successor.h"
#include "text.h"

/* Above the sum of all deadlines (stdin 10 s, waiting 60 s, answer 60 s): only a defect here lets it pass. */
#define LAST_RESORT_S 140

/* CHECK and DEL do not wait for an agent that is away: neither can fail because of it. */
#define CHECK_WAIT_MS 1000
#define CHECK_ANSWER_MS 5000
#define DEL_TELL_MS 100

struct request {
	struct cni_env env;
	struct slice input;
	struct netconf netconf;
	struct cni_args args;
};

static void confine(void)
{
	const struct rlimit no_core = { 0, 0 };

	/* With a closed stdout the next descriptor opened, say the agent's socket, would be taken for it. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(1);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	answer_at_last(LAST_RESORT_S);
}

/* Without a previous result there is nothing to pass on; versions before 1.0.0 list dns among the required keys. */
noreturn static void pass(const struct netconf *netconf)
{
	char buffer[128];
	struct text empty = TEXT(buffer);

	if (netconf->prev_result.size > 0)
		answer_success(netconf->prev_result);
	text_join(&empty, "{\"cniVersion\":\"", netconf->cni_version, NULL);
	text_add(&empty, netconf_version_at_least(netconf, "1.0.0") ? "\"}\n" : "\",\"dns\":{}}\n");
	answer_success(text_slice(&empty));
}

static struct agent_request prepare(const struct request *request, struct text *socket_path)
{
	text_join(socket_path, request->netconf.run_dir, "/plugin.sock", NULL);
	return (struct agent_request){
		.socket_path = socket_path->at,
		.values = {
			[REQUEST_COMMAND] = slice_of(request->env.command_text),
			[REQUEST_CONTAINER_ID] = slice_of(request->env.container_id),
			[REQUEST_NETNS] = slice_of(request->env.netns),
			[REQUEST_IFNAME] = slice_of(request->env.ifname),
			[REQUEST_ARGS] = slice_of(request->env.args),
			[REQUEST_PATH] = slice_of(request->env.path),
			[REQUEST_STDIN] = request->input,
			[REQUEST_PLUGIN_VERSION] = slice_of(about_version()),
		},
		.netns = -1,
		.wait_ms = request->netconf.agent_wait_ms,
		.answer_ms = AGENT_ANSWER_MS,
	};
}

static bool is_json_object(struct slice bytes)
{
	char why_buffer[128];
	struct text why = TEXT(why_buffer);
	struct slice value;

	return json_check(bytes, &value, &why) && json_kind(value) == JSON_OBJECT;
}

noreturn static void refuse_unanswered(const struct request *request, const char *why)
{
	char message_buffer[1024], details_buffer[512];
	struct text message = TEXT(message_buffer), details = TEXT(details_buffer);

	text_add(&message, "Cannot set up the pod's redirection: ");
	text_add(&message, why);
	text_add(&details, "The runtime will try again. If it goes on, look at the istio-cni-node pod of this node: "
			   "kubectl get pods -A -o wide -l k8s-app=istio-cni-node; its log names the cause. Pod ");
	text_add_slice(&details, request->args.pod_namespace);
	text_add(&details, "/");
	text_add_slice(&details, request->args.pod_name);
	answer_error(CNI_TRY_AGAIN_LATER, message.at, details.at);
}

/* Prints what the agent has answered to ADD or CHECK. */
noreturn static void relay(const struct request *request, const struct agent_answer *answer)
{
	bool prints = answer->exit_code != 0 || (answer->has_stdout && request->env.command == CNI_ADD);

	if (answer->log.size > 0)
		log_from_agent(answer->log);
	if (prints && !is_json_object(answer->stdout_bytes))
		refuse_unanswered(request, "the agent's answer is not a JSON object");
	if (answer->exit_code != 0)
		answer_agent_error((int)answer->exit_code, answer->stdout_bytes);
	if (prints)
		answer_success(answer->stdout_bytes);
	if (request->env.command == CNI_ADD)
		pass(&request->netconf);
	answer_success((struct slice){ "", 0 });
}

static enum decision look_into_state(const struct request *request)
{
	struct state state;

	if (!state_read(request->netconf.run_dir, &state))
		return ASK_AGENT;
	return decide_unanswered(&request->args, &request->netconf, &state);
}

static bool is_excluded_by_state(const void *request)
{
	return look_into_state(request) == PASS_EXCLUDED_NAMESPACE;
}

static void look_for_successor(const void *request)
{
	successor_take_over(((const struct request *)request)->input);
}

/* Nobody has answered: passes what the agent's state file proves, refuses the rest. */
noreturn static void decide_alone(const struct request *request, const char *why)
{
	enum decision decision = look_into_state(request);

	if (decision == ASK_AGENT)
		refuse_unanswered(request, why);
	if (decision == PASS_NEVER_ENROLLED) {
		log_warn(why);
		log_info("Passed without the agent: no pod of its namespace was ever in the mesh. If this one belongs into it, the "
			 "agent puts it there on its return");
	} else {
		log_info("Passed without the agent: its state file excludes the namespace");
	}
	pass(&request->netconf);
}

noreturn static void ask(const struct request *request)
{
	char path_buffer[128], why_buffer[512];
	struct text socket_path = TEXT(path_buffer), why = TEXT(why_buffer);
	struct agent_request question = prepare(request, &socket_path);
	struct agent_answer answer;

	question.netns = netns_open(request->env.netns, request->env.netns_override);
	if (request->env.command == CNI_ADD) {
		question.needs_no_answer = is_excluded_by_state;
		question.while_away = look_for_successor;
		question.context = request;
	} else {
		question.wait_ms = question.wait_ms < CHECK_WAIT_MS ? question.wait_ms : CHECK_WAIT_MS;
		question.answer_ms = CHECK_ANSWER_MS;
	}
	if (agent_ask(&question, &answer, &why))
		relay(request, &answer);
	if (request->env.command == CNI_ADD)
		decide_alone(request, why.at);
	log_warn(why.at);
	log_info("CHECK passes: without the agent nothing is known to be wrong with the pod");
	answer_success((struct slice){ "", 0 });
}

noreturn static void add(const struct request *request)
{
	enum decision decision = decide(&request->args, &request->netconf);

	if (decision == ASK_AGENT)
		ask(request);
	if (decision == PASS_NOT_KUBERNETES)
		log_info("Passed on unchanged: CNI_ARGS name no pod, so this is not Kubernetes");
	if (decision != PASS_OWN_AGENT && !request->env.netns_override)
		netns_refuse_own(request->env.netns);
	pass(&request->netconf);
}

noreturn static void check(const struct request *request)
{
	if (decide(&request->args, &request->netconf) == ASK_AGENT)
		ask(request);
	answer_success((struct slice){ "", 0 });
}

noreturn static void del(const struct request *request)
{
	char path_buffer[128];
	struct text socket_path = TEXT(path_buffer);

	if (decide(&request->args, &request->netconf) == ASK_AGENT) {
		struct agent_request notice = prepare(request, &socket_path);

		agent_tell(&notice, DEL_TELL_MS);
	}
	answer_success((struct slice){ "", 0 });
}

static void require_version(const struct request *request, const char *version)
{
	char buffer[128];
	struct text message = TEXT(buffer);

	if (netconf_version_at_least(&request->netconf, version))
		return;
	text_join(&message, "config version does not allow ", request->env.command_text, NULL);
	answer_error(CNI_INCOMPATIBLE_VERSION, message.at, NULL);
}

noreturn static void refuse_command(const struct cni_env *env)
{
	char buffer[256];
	struct text message = TEXT(buffer);

	text_add(&message, "unknown CNI_COMMAND: ");
	text_add(&message, env->command_text);
	answer_error(CNI_INVALID_ENVIRONMENT, message.at, "accepted are ADD, DEL, CHECK, GC, STATUS, VERSION");
}

int main(int argc, char *argv[])
{
	struct request request = { .env = env_read() };
	struct slice object;

	(void)argc;
	successor_watch(argv);
	if (request.env.command == CNI_DEL)
		answer_always_succeeds();
	confine();
	if (request.env.command == CNI_NO_COMMAND)
		about_print_usage();
	if (request.env.command == CNI_VERSION)
		about_print_versions();

	env_check(&request.env);
	request.input = input_read();
	object = netconf_check(request.input);
	if (request.env.command == CNI_UNKNOWN_COMMAND)
		refuse_command(&request.env);
	request.netconf = netconf_parse(object);

	/* What the plugin does needs nothing: it can be done whether the agent is there or not (DESIGN 3.3). */
	if (request.env.command == CNI_GC || request.env.command == CNI_STATUS) {
		require_version(&request, "1.1.0");
		answer_success((struct slice){ "", 0 });
	}
	if (request.env.command == CNI_CHECK)
		require_version(&request, "0.4.0");

	request.args = env_parse_args(&request.env);
	log_about(request.args.pod_namespace, request.args.pod_name, request.env.container_id);
	if (request.env.command == CNI_ADD)
		add(&request);
	if (request.env.command == CNI_CHECK)
		check(&request);
	del(&request);
}
