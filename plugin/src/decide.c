/*
 * The decision. See decide.h.
 */
#include "decide.h"

#include "json.h"

/* The DaemonSet's name in upstream's chart, with the dash before the pod's own suffix. */
#define OWN_POD_PREFIX "istio-cni-node-"

/* Written by istio's sidecar injector into every pod that it has changed. */
#define SIDECAR_STATUS "sidecar.istio.io/status"

static bool is_own_agent(const struct cni_args *args, const struct netconf *netconf)
{
	return slice_starts_with(args->pod_name, OWN_POD_PREFIX) && netconf->pod_namespace.size > 0 &&
	       json_string_is(netconf->pod_namespace, args->pod_namespace);
}

static bool is_excluded(const struct cni_args *args, const struct netconf *netconf)
{
	struct json_walk walk;
	struct slice name;

	if (netconf->exclude_namespaces.size == 0)
		return false;
	walk = json_walk(netconf->exclude_namespaces);
	while (json_next_item(&walk, &name))
		if (json_string_is(name, args->pod_namespace))
			return true;
	return false;
}

enum decision decide(const struct cni_args *args, const struct netconf *netconf)
{
	struct slice status;

	if (args->pod_name.size == 0 || args->pod_namespace.size == 0)
		return PASS_NOT_KUBERNETES;

	/* Before everything else: the agent's pod must start on a node on which nothing of the agent works. */
	if (is_own_agent(args, netconf))
		return PASS_OWN_AGENT;
	if (is_excluded(args, netconf))
		return PASS_EXCLUDED_NAMESPACE;

	/* In ambient mode labels decide too, and runtimes do not pass labels. */
	if (!netconf->ambient_enabled && netconf->pod_annotations.size > 0 &&
	    !json_member(netconf->pod_annotations, SIDECAR_STATUS, &status))
		return PASS_NO_SIDECAR;
	return ASK_AGENT;
}
