// What the admin socket answers about one pod: its explanation with a look at what the kernel holds now, and the trace of a
// packet. Part of wire-status.ts.
import { type AdminHandler, answerJson, refuse } from "../agent/status/admin-router.ts";
import { type LiveLookDeps, lookLive } from "../agent/status/live-look.ts";
import type { NodeStatus } from "../agent/status/node-status.ts";
import { type PodTraceDeps, tracePacket } from "../agent/status/pod-trace.ts";
import { parseTraceQuery, readTraceTexts } from "../core/trace/trace-query.ts";

/** How a pod's namespace is looked into. */
export type PodLooks = Omit<LiveLookDeps & PodTraceDeps, "wallMs" | "nowMs">;

/** Below the ten seconds that a connection has, and the asking program waits. */
const LOOK_TIMEOUT_MS = 6000;

export function podRoutes(
  status: NodeStatus,
  looks: PodLooks,
  times: { readonly node: string; wallMs(): number; nowMs(): number },
): Readonly<Record<string, AdminHandler>> {
  const deps = { ...looks, wallMs: times.wallMs, nowMs: times.nowMs };
  const deadline = (): AbortSignal => AbortSignal.timeout(LOOK_TIMEOUT_MS);
  return {
    "GET /pods/:namespace/:name": async ({ params }) => {
      const [namespace = "", name = ""] = [params.get("namespace"), params.get("name")];
      const found = status.find(namespace, name);
      if (found === undefined) return refuse(404, noSuchPod("explain", times.node, namespace, name));
      const live = await lookLive(deps, found.pod, found.capture, deadline());
      // What is remembered is told as it is after the look.
      const explanation = status.explain(namespace, name);
      return explanation === undefined
        ? refuse(404, noSuchPod("explain", times.node, namespace, name))
        : answerJson({ ...explanation, live });
    },
    "GET /pods/:namespace/:name/trace": async ({ params, query }) => {
      const [namespace = "", name = ""] = [params.get("namespace"), params.get("name")];
      const wanted = parseTraceQuery(readTraceTexts(query));
      if ("message" in wanted) return refuse(400, wanted.message);
      const found = status.find(namespace, name);
      if (found === undefined) return refuse(404, noSuchPod("trace in", times.node, namespace, name));
      const outcome = await tracePacket(deps, { node: times.node, ...found }, wanted, deadline());
      if (outcome.kind === "traced") return answerJson(outcome.document);
      return refuse(outcome.kind === "impossible" ? 400 : 503, outcome.message);
    },
  };
}

function noSuchPod(action: string, node: string, namespace: string, name: string): string {
  const where = `kubectl -n ${namespace} get pod ${name} -o wide tells whether there is one, and on which node`;
  return `Cannot ${action} pod ${namespace}/${name}: the agent of node ${node} knows no such pod; ${where}`;
}
