// The agent as a DaemonSet of somebody's chart has it: the pod of its template, with its environment, mounts and rights and
// no others, in the runtime and in the API stand-in.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ApiServer } from "../api-server/api-server.ts";
import { isJsonObject, type JsonObject, readPath, readText } from "../api-server/kube-object.ts";
import { createServiceAccountUser } from "../api-server/rbac.ts";
import type { TestNode } from "./create-node.ts";
import { type DescribeOptions, describeContainer } from "./describe-container.ts";
import { type ImageAgent, superviseAgent } from "./supervise-agent.ts";

export interface DaemonSetAgentOptions extends Pick<DescribeOptions, "hostPath" | "image"> {
  /** DaemonSet, ConfigMaps, roles and bindings; others are left alone. */
  readonly objects: readonly JsonObject[];
  readonly api: ApiServer;
}

let started = 0;

/** Puts the DaemonSet and its pod into the API and starts that pod's one container.
 * @throws {Error} when the objects do not make a pod, or the runtime refuses it. */
export async function startDaemonSetAgent(node: TestNode, options: DaemonSetAgentOptions): Promise<ImageAgent> {
  started += 1;
  const { api, objects } = options;
  const daemonSet = objects.find(({ kind }) => kind === "DaemonSet");
  if (daemonSet === undefined) throw new Error("Cannot start the agent: there is no DaemonSet");
  const name = `${readText(daemonSet, "metadata", "name")}-${String(started).padStart(5, "x")}`;
  const namespace = readText(daemonSet, "metadata", "namespace");
  const owner = api.put(daemonSet);
  const template = readPath(daemonSet, "spec", "template");
  const metadata = readPath(template, "metadata");
  const spec = readPath(template, "spec");
  if (!isJsonObject(metadata) || !isJsonObject(spec)) throw new Error("Cannot start the agent: no pod template");
  const isOnHost = spec["hostNetwork"] === true;
  const pod = api.put({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      ...{ name, namespace },
      ownerReferences: [
        {
          apiVersion: "apps/v1",
          kind: "DaemonSet",
          name: owner.metadata.name,
          uid: owner.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: { ...spec, nodeName: node.name },
    status: { phase: "Pending" },
  });

  const { labels = {}, annotations = {}, uid = "" } = pod.metadata;
  const sandbox = await node.runPod({ name, namespace, uid, labels, annotations, hostNetwork: isOnHost });
  const serviceAccount = join("/run", `${name}-serviceaccount`);
  mkdirSync(serviceAccount, { recursive: true });
  const user = createServiceAccountUser(namespace, readText(spec, "serviceAccountName"), objects);
  for (const [file, text] of [
    ["token", api.issueToken(user)],
    ["ca.crt", api.caPem],
    ["namespace", namespace],
  ] as const)
    writeFileSync(join(serviceAccount, file), text, { mode: 0o644 });

  const container = describeContainer({
    ...options,
    pod,
    configMaps: readConfigMaps(objects),
    service: api,
    serviceAccount,
  });
  const containerId = await sandbox.startContainer(container);
  return superviseAgent(node, { pod: sandbox, containerId, container: container.name });
}

function readConfigMaps(objects: readonly JsonObject[]): DescribeOptions["configMaps"] {
  return Object.fromEntries(
    objects
      .filter(({ kind }) => kind === "ConfigMap")
      .map((object) => {
        const data = isJsonObject(object["data"]) ? object["data"] : {};
        return [
          readText(object, "metadata", "name"),
          Object.fromEntries(Object.entries(data).map(([key, value]) => [key, String(value)])),
        ];
      }),
  );
}
