// The agent that runs, as it tells of itself over its own socket, and what it is configured with.

import { HEALTH_PORT } from "../config/agent-config.ts";
import { wordsOfProbePath } from "../status/describe-probe-path.ts";
import type { StatusDocument } from "../status/status-document.ts";
import { type CheckOutcome, type CheckRow, fail, notApplicable, ok, unknown, warn } from "./check.ts";
import { knownOf, type NodeFacts } from "./node-facts.ts";

/** A silent watch is given up after 150 s, so an honest one is never older. */
const WATCH_OLD_SECONDS = 300;

export const AGENT_CHECKS: readonly CheckRow[] = [
  {
    id: "agent.config",
    meaning: "An agent with a malformed option does not start; it touches nothing of the host before.",
    complaints: ["#48734", "#52761"],
    decide({ configProblems, configWarnings }) {
      const [problem] = configProblems;
      if (problem !== undefined)
        return fail(configProblems.join("; "), "Correct the values; install-cni config shows all of them");
      return configWarnings.length > 0
        ? warn(configWarnings.join("; "), "See install-cni config")
        : ok("every option that is set here can be followed");
    },
  },
  {
    id: "agent.running",
    meaning: "What is found here is what the agent itself found, where one runs.",
    complaints: [],
    decide({ agent, version }) {
      if (agent.kind !== "answers") {
        return agent.kind === "absent"
          ? notApplicable(`no agent runs here: ${agent.reason}`)
          : fail(agent.reason, "Look at the log of the agent's pod");
      }
      const { agent: told } = agent.status;
      return told.version === version
        ? ok(`agent ${told.version} of ${told.node}, ${told.mode} mode`)
        : warn(
            `the agent that runs is ${told.version}, this program is ${version}`,
            "Run this program in the agent's own container",
          );
    },
  },
  {
    id: "agent.ready",
    meaning: "Ready means that pods can start and are captured.",
    complaints: ["#54821", "#54726", "#53843"],
    decide: (facts) =>
      ofAgent(facts, ({ conditions }) => {
        const unmet = conditions.filter(({ isReady }) => !isReady).map(({ name, reason }) => `${name}: ${reason}`);
        return unmet.length === 0
          ? ok("every condition is met")
          : fail(unmet.join("; "), "Mend what is named; what the agent can do by itself it tries again");
      }),
  },
  {
    id: "agent.pods",
    meaning:
      "A pod of the mesh that is not captured talks past it, whatever its labels say; each is verified again and again.",
    complaints: ["#60882", "#61182", "#54630", "#49210", "#56587"],
    decide: (facts) =>
      ofAgent(facts, ({ pods, summary }) => {
        if (summary.needAttention === 0)
          return ok(`${summary.captured} of ${summary.pods} pods captured, none needs attention`);
        const some = pods.filter(({ needsAttention }) => needsAttention).slice(0, 3);
        const named = some.map(({ namespace, name, state }) => `${namespace}/${name} (${state})`).join(", ");
        return warn(
          `${summary.needAttention} of ${summary.pods} pods need attention: ${named}`,
          "See install-cni status, and install-cni explain for one of them",
        );
      }),
  },
  {
    id: "agent.watch",
    meaning: "The agent decides from what it has seen of the API; a watch that hears nothing knows nothing new.",
    complaints: ["#57985", "#60472"],
    decide: (facts) =>
      ofAgent(facts, ({ watches }) => {
        const bad = watches.filter(
          ({ isSynced, failures, ageSeconds }) => !isSynced || failures > 0 || (ageSeconds ?? 0) > WATCH_OLD_SECONDS,
        );
        if (bad.length === 0) return ok(watches.map(({ resource, objects }) => `${objects} ${resource}`).join(", "));
        const words = bad.map(({ resource, phase, lastFailure }) => `${resource}: ${lastFailure ?? phase}`);
        return warn(words.join("; "), "See api.server and api.rights");
      }),
  },
  {
    id: "agent.ports",
    meaning:
      "The kubelet asks for readiness on one port, Prometheus for metrics on another; on the host network others may have them.",
    complaints: ["#54821", "#54726", "#54845"],
    decide(facts) {
      const { port } = facts.settings.monitoring;
      const ports = [HEALTH_PORT, ...(port > 0 ? [port] : [])];
      const listening = knownOf(facts.listening);
      if (listening === undefined) return unknown("listening ports cannot be read from /proc/net/tcp");
      const taken = ports.filter((wanted) => listening.has(wanted));
      const free = ports.filter((wanted) => !listening.has(wanted));
      if (facts.agent.kind !== "answers") {
        return taken.length === 0
          ? ok(`${ports.join(" and ")} are free`)
          : warn(
              `somebody listens on ${taken.join(" and ")}, and no agent answers`,
              "On the host network, end that program or move the metrics by MONITORING_PORT",
            );
      }
      if (free.length === 0) return ok(`${ports.join(" and ")} are listened on`);
      return taken.length === 0
        ? unknown(`nobody listens on ${ports.join(" and ")} here; the agent may be in another network namespace`)
        : fail(`nobody listens on ${free.join(" and ")}`, "See the agent's log for the port that could not be had");
    },
  },
  {
    id: "ambient.ztunnel",
    meaning: "In ambient mode a pod starts once ztunnel has taken it over.",
    complaints: ["#53843", "#54544", "#51519", "#56910"],
    decide: (facts) =>
      facts.settings.ambient.enabled || (facts.agent.kind === "answers" && facts.agent.status.agent.mode === "ambient")
        ? ofAgent(facts, ({ ztunnel }) =>
            ztunnel?.isConnected === true
              ? ok(`a ztunnel is connected and has ${ztunnel.workloads} pods`)
              : fail(
                  "no ztunnel is connected: pods of the ambient mesh cannot start",
                  "See the ztunnel pod of this node, and folders.ztunnel",
                ),
          )
        : notApplicable("only ambient mode has a ztunnel"),
  },
  {
    id: "ambient.probes",
    meaning:
      "Probes of the kubelet have to reach enrolled pods from an address that ztunnel lets pass; the agent tries it.",
    complaints: ["#52208", "#57911", "cilium#36022", "#53105", "#49277", "#60469"],
    decide: (facts) =>
      ofAgent(facts, ({ probePaths }) => {
        if (probePaths.length === 0) return notApplicable("only ambient mode needs it");
        const words = probePaths.map(wordsOfProbePath).join("; ");
        const next = "See docs/status.md, and the network policies of the pods that are named";
        if (probePaths.some(({ verdict }) => verdict === "fails")) return fail(words, next);
        if (probePaths.some(({ verdict }) => verdict === "partly")) return warn(words, next);
        return probePaths.some(({ verdict }) => verdict === "cannot-test") ? unknown(words) : ok(words);
      }),
  },
  {
    id: "node.runtimes",
    meaning:
      "Sandboxes that do not use the network stack of their namespace (gVisor, Kata) cannot be captured by rules in it.",
    complaints: ["#58573", "#58913"],
    decide({ processes }) {
      if ("unknown" in processes) return unknown(`the node's processes cannot be seen: ${processes.unknown}`);
      const { sandboxes } = processes.value;
      return sandboxes.length === 0
        ? ok("no process of gVisor or Kata is seen")
        : warn(
            `processes of ${sandboxes.join(" and ")} run on this node`,
            "Keep pods of these runtimes out of the mesh; install-cni status says how each is",
          );
    },
  },
];

function ofAgent(facts: NodeFacts, decide: (status: StatusDocument) => CheckOutcome): CheckOutcome {
  if (facts.agent.kind === "answers") return decide(facts.agent.status);
  return facts.agent.kind === "absent"
    ? notApplicable("no agent runs here")
    : unknown("the agent does not answer; see agent.running");
}
