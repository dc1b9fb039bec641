// Runs the API stand-in by hand: `tools/node testbed/api-server/main.ts [--port N] [--host ADDRESS] [--dir DIR]`.
// Responsible for a small cluster to look at and for saying how; ends at SIGINT or SIGTERM and removes what it wrote.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createApiServer } from "./api-server.ts";
import { ambientPod, namespace, node, plainPod, sidecarPod } from "./pod-fixtures.ts";

const { values } = parseArgs({
  options: { port: { type: "string" }, host: { type: "string" }, dir: { type: "string" } },
});
const port = Number(values.port ?? "0");
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  throw new Error(`Cannot listen on port ${values.port}: a number from 0 to 65535 is accepted`);
}

const server = await createApiServer({ port, ...(values.host === undefined ? {} : { host: values.host }) });
const dir = values.dir ?? `/tmp/api-stand-in-${server.port}`;
await mkdir(dir, { recursive: true });
await server.writeServiceAccount(join(dir, "serviceaccount"));
await writeFile(join(dir, "kubeconfig"), server.kubeconfig(), { mode: 0o600 });

server.put(node("node-1"));
server.put(namespace("shop", { "istio-injection": "enabled" }));
server.put(namespace("ambient", { "istio.io/dataplane-mode": "ambient" }));
server.put(plainPod({ name: "plain" }));
server.put(sidecarPod({ name: "web", namespace: "shop" }));
server.put(sidecarPod({ name: "web-native", namespace: "shop", native: true }));
server.put(ambientPod({ name: "web", namespace: "ambient" }));

console.log(`The Kubernetes API stand-in listens on ${server.url}

  curl --cacert ${dir}/serviceaccount/ca.crt -H "Authorization: Bearer $(cat ${dir}/serviceaccount/token)" '${server.url}/api/v1/pods'
  curl -N … '${server.url}/api/v1/pods?watch=true&allowWatchBookmarks=true&fieldSelector=spec.nodeName=node-1'
  kubectl --kubeconfig ${dir}/kubeconfig get pods -A --watch
  kubectl --kubeconfig ${dir}/kubeconfig apply --validate=false -f pod.yaml     (JSON only: no "create" from flags)
  KUBERNETES_SERVICE_HOST=${server.host} KUBERNETES_SERVICE_PORT=${server.port} and ${dir}/serviceaccount for a client in a "pod"

Ctrl-C ends it and removes ${dir}.`);

await new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
});
await server.stop();
await rm(dir, { recursive: true, force: true });
