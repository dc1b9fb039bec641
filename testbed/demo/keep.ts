// `--keep`: the node stays up, and a person is told how to look around in it.

import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import type { TestAgent } from "../node/agent.ts";
import type { MeshNode } from "../node/mesh-node.ts";
import type { TestPod } from "../node/pod.ts";
import { REPOSITORY } from "../node/repository.ts";
import type { Paint } from "./steps.ts";

export const AGENT_LOG = "/run/testbed/agent.log";
const KUBECONFIG = "/run/testbed/kubeconfig";
const CURL_CONFIG = "/run/testbed/curl";
const CA_FILE = "/run/testbed/ca.crt";

export interface KeptDemo {
  readonly mesh: MeshNode;
  readonly agent: TestAgent;
  readonly pods: readonly TestPod[];
}

/** Writes the files that the commands need, and returns the text. */
export function renderExplanation({ mesh, agent, pods }: KeptDemo, paint: Paint): string {
  const { node, api } = mesh;
  mkdirSync("/run/testbed", { recursive: true });
  writeFileSync(CA_FILE, api.caPem);
  writeFileSync(KUBECONFIG, api.kubeconfig(), { mode: 0o600 });
  writeFileSync(CURL_CONFIG, `cacert = "${CA_FILE}"\nheader = "Authorization: Bearer ${api.token}"\n`, { mode: 0o600 });
  const captured = pods.find(({ name }) => name === "sidecar") ?? pods[0];
  const netns = captured === undefined ? "" : `nsenter --net=${captured.netnsPath}`;
  const lines: readonly (readonly [string, string])[] = [
    ["Enter the node, from another terminal, as root:", [...node.enterArgv, "bash"].join(" ")],
    ["There, the pods and what the agent says of them:", `ctr -n k8s.io containers ls; tail -f ${AGENT_LOG}`],
    ["The rules of shop/sidecar:", `${netns} iptables-save`],
    [
      "A connection from shop/sidecar to the application of shop/plain, caught on its way by the proxy:",
      probeCommand(node.nettool, netns, pods),
    ],
    ["Break something, and see it mended:", `rm ${node.cniBinDir}/istio-cni; sleep 1; ls -l ${node.cniBinDir}`],
    [
      "Readiness and metrics of the agent:",
      "curl -s localhost:8000/readyz; curl -s localhost:15014/metrics | grep ^istio",
    ],
    ["The Kubernetes API (a stand-in):", `curl -sK ${CURL_CONFIG} ${api.url}/api/v1/pods`],
    ["What the runtime has in its chain:", `cat ${node.conflistPath}`],
    ["The agent's process, in a container as the chart describes it:", `nsenter -t ${agent.pid} --mount ls /host`],
  ];
  const text = lines.map(([what, command]) => `  ${what}\n    ${paint.strong(command)}`).join("\n");
  return `The node stays up.\n\n${text}\n`;
}

function probeCommand(nettool: string, netns: string, pods: readonly TestPod[]): string {
  const ip = pods.find(({ name }) => name === "plain")?.ips[0] ?? "";
  const program = nettool.startsWith(REPOSITORY) ? nettool : "nettool";
  return `${netns} ${program} probe ${ip} 8080`;
}

/** Until Ctrl-C, or a signal that asks the process to end. */
export async function waitForEnd(): Promise<void> {
  const idle = setInterval(() => undefined, 60_000);
  await Promise.race(["SIGINT", "SIGTERM", "SIGHUP"].map((name) => once(process, name)));
  clearInterval(idle);
}
