// What upstream's chart makes of our agent, seen on the node: what its container was given, and what its values lead to.
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isJsonObject, readPath, readText } from "../../testbed/api-server/kube-object.ts";
import type { MeshNode } from "../../testbed/node/mesh-node.ts";
import type { ImageAgent } from "../../testbed/node/supervise-agent.ts";
import type { ChartPod } from "../../testbed/upstream/chart-pods.ts";
import { NET_DIR, readFacts } from "./upstream-chart-trials.ts";

/** Our plugin under another name, as what Multus delegates to is in the runtime's own list only as Multus. */
export const MULTUS = "multus-stand-in";

/** include/uapi/linux/capability.h. */
const CAPABILITIES: Readonly<Record<string, number>> = {
  DAC_OVERRIDE: 1,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
};

/** What the container has, seen from the kernel: user, capabilities and mounts are those of the template. */
export function assertGiven({ pid }: ImageAgent, { template }: ChartPod): void {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const containers = readPath(template, "spec", "containers");
  const [container]: unknown[] = Array.isArray(containers) ? containers : [];
  const added = readPath(container, "securityContext", "capabilities", "add");
  assert.ok(Array.isArray(added));
  const bits = added.reduce((sum: number, name: unknown) => sum + 2 ** (CAPABILITIES[String(name)] ?? Number.NaN), 0);
  assert.equal(Number.parseInt(/^CapBnd:\t(\w+)/m.exec(status)?.[1] ?? "", 16), bits);
  assert.equal(Number(/^Uid:\t(\d+)/m.exec(status)?.[1]), readPath(container, "securityContext", "runAsUser"));
  const hasProfile = readText(container, "securityContext", "seccompProfile", "type") === "RuntimeDefault";
  assert.equal(/^Seccomp:\t(\d)/m.exec(status)?.[1], hasProfile ? "2" : "0");
  const mounts = readPath(container, "volumeMounts");
  const wanted = Array.isArray(mounts) ? mounts.filter(isJsonObject) : [];
  // "36 35 98:0 /source /target rw,noatime …"; in the image /var/run may be a link.
  const mounted = new Map(
    readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .map(
        ([, , , , path = "", options = ""]) => [path.replace(/^\/var\/run\//, "/run/"), options.split(",")] as const,
      ),
  );
  for (const { mountPath, readOnly = false } of wanted) {
    const options = mounted.get(String(mountPath).replace(/^\/var\/run\//, "/run/"));
    assert.equal(options?.includes("ro"), readOnly, String(mountPath));
  }
  const hasHostProc = wanted.some(({ mountPath }) => mountPath === "/host/proc");
  assert.equal(mounted.has("/host/proc"), hasHostProc);
}

/** What of the chart's values shows on the node: where our entry is, and how the log is written. */
export function assertHeeded(running: ImageAgent, { config, template }: ChartPod): void {
  const { isAmbient, isChained, netDir } = readFacts({ config, template, roles: {} });
  const isOwned = config["ISTIO_OWNED_CNI_CONFIG"] === "true" && isAmbient;
  const own = isOwned
    ? config["ISTIO_OWNED_CNI_CONF_FILENAME"] || "02-istio-cni.conflist"
    : config["CNI_CONF_NAME"] || (isChained ? "10-testbed.conflist" : "YYY-istio-cni.conf");
  const ours = readdirSync(netDir).filter((file) => readFileSync(join(netDir, file), "utf8").includes('"istio-cni"'));
  assert.deepEqual(ours, [own]);
  const isJson = JSON.stringify(readPath(template, "spec", "containers")).includes("--log_as_json");
  const lines = running.log();
  assert.ok(lines.length > 0);
  for (const line of lines) assert.equal(line.startsWith("{"), isJson, line);
}

/** What Multus makes of our own file for a pod with the annotation of istiod: our plugin after those of the pod network. */
export async function playMultus({ node }: MeshNode, netDir: string, conflist: string): Promise<void> {
  const isOurs = (file: string): boolean => file.includes("istio-cni");
  const [file, ...more] = readdirSync(netDir).filter(isOurs);
  assert.ok(file !== undefined && more.length === 0, `there is no file of ours in ${netDir}`);
  const ours: unknown = JSON.parse(readFileSync(join(netDir, file), "utf8"));
  const primary: unknown = JSON.parse(conflist);
  assert.ok(isJsonObject(ours) && isJsonObject(primary) && Array.isArray(primary["plugins"]));
  const both = { ...primary, plugins: [...primary["plugins"], { ...ours, type: MULTUS }] };
  copyFileSync(join(node.cniBinDir, "istio-cni"), join(node.cniBinDir, MULTUS));
  writeFileSync(join(NET_DIR, "00-multus.conflist"), JSON.stringify(both));
  await node.waitForPlugins((types) => types.at(-1) === MULTUS);
}
