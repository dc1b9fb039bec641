// The API stand-in in a process of its own, so that neither its memory nor its work counts where the agent is measured.
// Started by stand-in.ts with a list of pods as its argument; ends with the channel to its parent.
import { createApiServer } from "../testbed/api-server/api-server.ts";
import { isJsonObject, type KubeObject } from "../testbed/api-server/kube-object.ts";
import { namespace, plainPod, sidecarPod } from "../testbed/api-server/pod-fixtures.ts";
import type { PodOptions } from "../testbed/api-server/pod-skeleton.ts";
import type { StandInAccess, StandInPod, StandInRequest, StandInSetup } from "./stand-in.ts";

const setup = JSON.parse(process.argv[2] ?? "") as StandInSetup;
const server = await createApiServer({ host: setup.host });
server.put(namespace(setup.namespace, { "istio-injection": "enabled" }));
const pods: StandInPod[] = [];
for (const [kind, count] of Object.entries(setup.pods)) {
  for (let index = 0; index < count; index++) {
    const place = { name: `${kind}-${index}`, namespace: setup.namespace, nodeName: setup.nodeName };
    const options: PodOptions = setup.starting ? { ...place, podIps: [], phase: "Pending" } : place;
    const object = kind === "plain" ? plainPod(options) : sidecarPod(options);
    if (kind === "dual") addProxyVariable(object, "ISTIO_DUAL_STACK", "true");
    const { uid = "", annotations = {}, labels = {} } = server.put(object).metadata;
    pods.push({ ...place, uid, annotations, labels });
  }
}
const { host, port, token, caPem } = server;
const access: StandInAccess = { host, port, token, caPem, kubeconfig: server.kubeconfig(), pods };
process.send?.(access);

process.on("message", (request: StandInRequest) => {
  if (request === "clear") server.clearRequests();
  const asked = server.requests().map(({ verb, resource }) => `${verb} ${resource}`);
  process.send?.(request === "clear" ? [] : asked);
});
process.on("disconnect", () => process.exit(0));

/** Gives the injected proxy one more variable. */
function addProxyVariable(pod: KubeObject, name: string, value: string): void {
  const spec = pod["spec"];
  const containers = isJsonObject(spec) && Array.isArray(spec["containers"]) ? spec["containers"] : [];
  for (const container of containers) {
    if (isJsonObject(container) && container["name"] === "istio-proxy" && Array.isArray(container["env"]))
      container["env"].push({ name, value });
  }
}
