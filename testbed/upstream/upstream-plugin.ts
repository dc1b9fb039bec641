// Upstream's plugin by its contract (3.9, 3.10, 4.4), executed by the runtime in the place of ours: an ambient pod is asked for
// once on pluginevent.sock, a sidecar pod it would program by itself with the kubeconfig of its agent. What it is to wait for,
// and what it has done, lies in the run directory: upstream.gate while it may not go on, upstream.calls with a line for every end.
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isJsonObject, type JsonObject, readPath } from "../api-server/kube-object.ts";

const ADD_TIMEOUT_MS = 5000;
const LOG_TIMEOUT_MS = 1000;

if (process.env["CNI_COMMAND"] === "ADD") await add();

async function add(): Promise<void> {
  const netconf: unknown = JSON.parse(readFileSync(0, "utf8"));
  if (!isJsonObject(netconf)) throw new TypeError("stdin is no object");
  const args = new Map(
    (process.env["CNI_ARGS"] ?? "").split(";").map((pair) => [pair.split("=")[0], pair.split("=")[1]]),
  );
  const pod = { name: args.get("K8S_POD_NAME") ?? "", namespace: args.get("K8S_POD_NAMESPACE") ?? "" };
  const runDir = String(netconf["cni_agent_run_dir"]);
  appendFileSync(join(runDir, "upstream.calls"), `begin ${pod.name}\n`);
  while (existsSync(join(runDir, "upstream.gate"))) await sleep(20);
  const refusal = netconf["ambient_enabled"] === true ? await ask(runDir, netconf, pod) : needKubeconfig(runDir);
  appendFileSync(
    join(runDir, "upstream.calls"),
    `${refusal === undefined ? "ok" : `failed: ${refusal}`} ${pod.name}\n`,
  );
  const level = refusal === undefined ? "info" : "error";
  const line = {
    level,
    time: new Date().toISOString(),
    scope: "cni-plugin",
    msg: refusal ?? "cmdAdd done",
    pod: pod.name,
  };
  await post(join(runDir, "log.sock"), "/log", [JSON.stringify(line)], LOG_TIMEOUT_MS).catch(() => undefined);
  process.stdout.write(JSON.stringify(refusal === undefined ? netconf["prevResult"] : { code: 999, msg: refusal }));
  process.exitCode = refusal === undefined ? 0 : 1;
}

function needKubeconfig(runDir: string): string | undefined {
  return existsSync(join(runDir, "istio-cni-kubeconfig")) ? undefined : "failed to createNewK8sClient: no such file";
}

async function ask(
  runDir: string,
  netconf: JsonObject,
  pod: { name: string; namespace: string },
): Promise<string | undefined> {
  const ips = readPath(netconf, "prevResult", "ips");
  const body = {
    Netns: process.env["CNI_NETNS"],
    PodName: pod.name,
    PodNamespace: pod.namespace,
    IPs: Array.isArray(ips) ? ips.map((ip: unknown) => ({ Interface: null, Address: addressOf(ip) })) : null,
  };
  try {
    const { status, text } = await post(join(runDir, "pluginevent.sock"), "/cmdadd", body, ADD_TIMEOUT_MS);
    return status === 200 ? undefined : `unable to push CNI event (status code ${status}): ${text}`;
  } catch (error) {
    return `failed to send event request: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Go's net.IPNet: the mask's bytes in base64. */
function addressOf(ip: unknown): { IP: string; Mask: string } {
  const [address = "", length = "0"] = String(readPath(ip, "address")).split("/");
  const bytes = Buffer.alloc(address.includes(":") ? 16 : 4);
  for (let bit = 0; bit < Number(length); bit++) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return { IP: address, Mask: bytes.toString("base64") };
}

function post(
  socketPath: string,
  path: string,
  body: unknown,
  timeoutMs: number,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const headers = { "content-type": "application/json" };
    const sent = request({ socketPath, path, method: "POST", headers, signal }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
}
