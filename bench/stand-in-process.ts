// The API stand-in in a process of its own, so that neither its memory nor its work counts where the agent is measured.
// Started by stand-in.ts with a list of pods as its argument; ends with the channel to its parent.
import { createApiServer } from "../testbed/api-server/api-server.ts";
import { isJsonObject, type KubeObject } from "../testbed/api-server/kube-object.ts";
import { namespace, plainPod, sidecarPod } from "../testbed/api-server/pod-fixtures.ts";
import type { PodOptions } from "../testbed/api-server/pod-skeleton.ts";
import { podAddresses } from "./pod-addresses.ts";
import type { PodKind, StandInAccess, StandInPod, StandInRequest, StandInSetup } from "./stand-in.ts";

const AMBIENT_LABELS = { "istio.io/dataplane-mode": "ambient" };

const setup = JSON.parse(process.argv[2] ?? "") as StandInSetup;
const server = await createApiServer({ host: setup.host });
server.put(namespace(setup.namespace, { "istio-injection": "enabled" }));
const pods: StandInPod[] = [];
for (const [kind, count] of Object.entries(setup.pods))
  for (let index = 0; index < count; index++) pods.push(put(kind as PodKind, index));
const { host, port, token, caPem } = server;
const access: StandInAccess = { host, port, token, caPem, kubeconfig: server.kubeconfig(), pods };
process.send?.(access);

process.on("message", (request: StandInRequest) => {
  if (typeof request === "object") {
    process.send?.(request.renew.map(renew));
    return;
  }
  if (request === "clear") server.clearRequests();
  const asked = server.requests().map(({ verb, resource }) => `${verb} ${resource}`);
  process.send?.(request === "clear" ? [] : asked);
});
process.on("disconnect", () => process.exit(0));

/** Makes the pod of that kind and number, with a new UID. */
function put(kind: PodKind, index: number): StandInPod {
  const place = { name: `${kind}-${index}`, namespace: setup.namespace, nodeName: setup.nodeName };
  const isAmbient = kind === "ambient" || kind === "resident";
  // Those that are starting come after those that run: no two have the same address.
  const ips = isAmbient ? podAddresses(index + (kind === "ambient" ? (setup.pods.resident ?? 0) : 0)) : [];
  const options: PodOptions = {
    ...place,
    ...(isAmbient ? { labels: AMBIENT_LABELS, podIps: ips } : {}),
    ...(setup.starting && kind !== "resident" ? { podIps: [], phase: "Pending" } : {}),
  };
  const object = kind === "sidecar" || kind === "dual" ? sidecarPod(options) : plainPod(options);
  if (kind === "dual") addProxyVariable(object, "ISTIO_DUAL_STACK", "true");
  const { uid = "", annotations = {}, labels = {} } = server.put(object).metadata;
  return { ...place, uid, annotations, labels, ips };
}

function renew(name: string): StandInPod {
  const [kind, index] = name.split("-");
  server.remove("pods", `${setup.namespace}/${name}`);
  return put(kind as PodKind, Number(index));
}

/** Gives the injected proxy one more variable. */
function addProxyVariable(pod: KubeObject, name: string, value: string): void {
  const spec = pod["spec"];
  const containers = isJsonObject(spec) && Array.isArray(spec["containers"]) ? spec["containers"] : [];
  for (const container of containers) {
    if (isJsonObject(container) && container["name"] === "istio-proxy" && Array.isArray(container["env"]))
      container["env"].push({ name, value });
  }
}
