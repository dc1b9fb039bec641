// The way to the Kubernetes API: who we are, whether it answers, what we may, whose node this is, what time it is there.

import { type CheckRow, fail, notApplicable, ok, unknown, warn } from "./check.ts";
import { wordsOfRight } from "./needed-rights.ts";
import { knownOf } from "./node-facts.ts";

/** The Date header has whole seconds, and the answer takes its time. */
const CLOCK_WARN_MS = 5000;
const CLOCK_FAIL_MS = 60_000;
/** The kubelet renews a token at 80 % of its life, an hour and more for the shortest. */
const TOKEN_LITTLE_MS = 60_000;

export const API_CHECKS: readonly CheckRow[] = [
  {
    id: "api.token",
    meaning: "The agent speaks to the API server as its service account; the kubelet renews that token on disk.",
    complaints: ["#38077", "#57438", "#57788"],
    decide({ api: { token, endpoint }, wallMs }) {
      if ("unknown" in endpoint && "unknown" in token) {
        return unknown(endpoint.unknown, "Run this in the agent's container, or set KUBECONFIG");
      }
      if ("unknown" in token) {
        return fail(token.unknown, "Set automountServiceAccountToken and the service account of the DaemonSet");
      }
      if (token.value === undefined) return ok("certificates of a kubeconfig, no token");
      const { source, expiresAtMs, notBeforeMs } = token.value;
      if (notBeforeMs !== undefined && notBeforeMs > wallMs) {
        return fail(`${source} is not valid before ${timeOf(notBeforeMs)}`, "Set this node's clock right");
      }
      if (expiresAtMs === undefined) return ok(`${source}; it does not tell when it ends`);
      const restMs = expiresAtMs - wallMs;
      const ends = `${source} ${restMs < 0 ? "ended" : "ends"} at ${timeOf(expiresAtMs)}`;
      const next = "See whether the kubelet of this node runs and renews tokens, and whether the clock is right";
      if (restMs <= 0) return fail(ends, next);
      return restMs < TOKEN_LITTLE_MS ? warn(ends, next) : ok(ends);
    },
  },
  {
    id: "api.server",
    meaning: "The agent follows the pods of its node at the API server; what it has never seen it refuses.",
    complaints: ["#57985", "#45932"],
    decide({ api: { endpoint, token, answer } }) {
      if ("unknown" in token && "value" in endpoint) return unknown("it was not asked, see api.token");
      if ("unknown" in endpoint) {
        return unknown(endpoint.unknown, "Run this in the agent's container, or set KUBECONFIG");
      }
      if ("unknown" in answer) {
        return fail(
          `${endpoint.value} does not answer: ${answer.unknown}`,
          "See routes, network policies and proxies between this node and the API server, and its certificate",
        );
      }
      return answer.value.refusal === undefined
        ? ok(`${endpoint.value} answers`)
        : fail(
            `${endpoint.value} does not know us: ${answer.value.refusal}`,
            "The token is of another cluster, of a deleted service account, or has ended; see api.token",
          );
    },
  },
  {
    id: "api.rights",
    meaning: "Each verb the agent uses was put to the authoriser (SelfSubjectAccessReview), nothing was changed.",
    complaints: ["#57601", "#54719", "#61718"],
    decide({ api: { rights, answer } }) {
      if ("unknown" in answer || answer.value.refusal !== undefined)
        return unknown("the API server could not be asked; see api.server");
      const denied = rights.filter(({ isAllowed }) => knownOf(isAllowed) === false).map(({ right }) => right);
      const open = rights.flatMap(({ right, isAllowed }) =>
        "unknown" in isAllowed ? [`${wordsOfRight(right)}: ${isAllowed.unknown}`] : [],
      );
      const next = "Grant them to the agent's service account, as the chart's ClusterRoles do";
      if (denied.length > 0) {
        const finding = `not granted: ${denied.map((right) => `${wordsOfRight(right)} (${right.lost})`).join("; ")}`;
        return denied.some(({ isEssential }) => isEssential) ? fail(finding, next) : warn(finding, next);
      }
      if (open.length > 0) return unknown(`not answered: ${open.slice(0, 3).join("; ")}`);
      return ok(`all ${rights.length} verbs are granted`);
    },
  },
  {
    id: "api.node",
    meaning: "The agent asks for the pods of the node of this name; under a wrong one it sees none.",
    complaints: ["#36108", "#37039"],
    decide({ api, nodeName, settings }) {
      const isGuess = settings.api.nodeName === undefined;
      const name = `${nodeName}${isGuess ? " (this host's name, NODE_NAME is not set)" : ""}`;
      const next = "Set NODE_NAME from spec.nodeName in the DaemonSet";
      if (isGuess && "unknown" in api.endpoint) {
        return warn(
          `whether there is a node ${name} is not known, see api.server`,
          "Run this in the agent's container, where the DaemonSet has to set NODE_NAME from spec.nodeName",
        );
      }
      if ("unknown" in api.node) {
        return isGuess
          ? warn(`whether there is a node ${name} is not known: ${api.node.unknown}`, next)
          : unknown(`whether there is a node ${name} is not known: ${api.node.unknown}`);
      }
      const { isRight, why } = api.node.value;
      return isRight ? ok(`the node is ${name}: ${why}`) : fail(`the node is not ${name}: ${why}`, next);
    },
  },
  {
    id: "api.clock",
    meaning: "Tokens and certificates have times; a clock that is wrong makes them look ended, or not begun.",
    complaints: [],
    decide({ api: { answer }, wallMs }) {
      const dateMs = knownOf(answer)?.dateMs;
      if (dateMs === undefined) return notApplicable("no answer of the API server to compare with");
      const offMs = Math.abs(wallMs - dateMs);
      const finding = `this clock and the API server's differ by ${Math.round(offMs / 1000)} s`;
      const next = "Set the clock of this node right: NTP";
      if (offMs > CLOCK_FAIL_MS) return fail(finding, next);
      return offMs > CLOCK_WARN_MS ? warn(finding, next) : ok(finding);
    },
  },
];

function timeOf(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? "a time nobody can write" : date.toISOString();
}
