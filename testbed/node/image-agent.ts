// The agent from an image, as the kubelet starts a DaemonSet's container: through CRI, with the chart's command, mounts,
// environment and capabilities. Unlike agent.ts, nothing of the checkout or the machine is visible inside.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentApiServer } from "./agent.ts";
import { CHART_CAPABILITIES, MASKED_PATHS, READONLY_PATHS, renderChartEnvironment } from "./agent-bundle.ts";
import type { TestNode } from "./create-node.ts";
import type { ContainerMount } from "./cri-client.ts";
import type { TestPod } from "./pod.ts";

export interface ImageAgentOptions {
  /** Name of an image that the node's containerd has. */
  readonly image: string;
  readonly apiServer: AgentApiServer;
  /** The user; 0 as in upstream's chart unless told, `image` for the one the image names. */
  readonly uid?: number | "image";
  /** `chart`: the five capabilities and no others (default). `privileged`: as the hardened image's guide has it. */
  readonly rights?: "chart" | "privileged" | "none";
  readonly readonlyRoot?: boolean;
  readonly noNewPrivileges?: boolean;
  /** The chart's `install-cni` unless told; `undefined` leaves the image its own entry point. */
  readonly command?: readonly string[] | undefined;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A started container of the image, in a pod of its own on the host network. */
export interface ImageAgent {
  readonly pod: TestPod;
  readonly containerId: string;
  /** Process id of the container's process 1 on the node. */
  readonly pid: number;
  /** What it wrote so far, both streams. */
  log(): readonly string[];
  /** Settles with the exit status. @throws {Error} with its last lines when that takes longer (60 s unless told). */
  waitExit(timeoutMs?: number): Promise<number>;
  /** Resolves when /readyz says 200. @throws {Error} with its last lines when it ends before, or within 60 s does not. */
  waitReady(): Promise<void>;
  /** Ends it as the kubelet does, removes its pod, and returns the exit status. */
  stop(): Promise<number>;
}

const NAME = "install-cni";
let started = 0;

/** @throws {CriError} when the runtime refuses to make or start the container. */
export async function startImageAgent(node: TestNode, options: ImageAgentOptions): Promise<ImageAgent> {
  started += 1;
  const { rights = "chart", apiServer } = options;
  const podName = `istio-cni-node-${started}`;
  const serviceAccount = join("/run", `${podName}-serviceaccount`);
  mkdirSync(serviceAccount, { recursive: true });
  // As the kubelet makes it for a container that runs as another user than root: readable through the pod's group.
  for (const [file, text] of [
    ["token", apiServer.token],
    ["ca.crt", apiServer.caPem],
    ["namespace", "istio-system"],
  ] as const)
    writeFileSync(join(serviceAccount, file), text, { mode: 0o644 });

  const pod = await node.runPod({
    name: podName,
    namespace: "istio-system",
    hostNetwork: true,
    privileged: rights === "privileged",
  });
  const command = "command" in options ? options.command : [NAME];
  const containerId = await pod.startContainer({
    name: NAME,
    image: options.image,
    ...(command === undefined ? {} : { command }),
    args: options.args ?? ["--log_output_level=info"],
    env: environment(options, { serviceAccount, nodeName: node.name, podName }),
    uid: options.uid ?? 0,
    mounts: chartMounts(serviceAccount),
    security: {
      ...(rights === "privileged"
        ? { privileged: true }
        : {
            capabilities: {
              dropCapabilities: ["ALL"],
              addCapabilities: rights === "none" ? [] : CHART_CAPABILITIES.map((name) => name.replace("CAP_", "")),
            },
            maskedPaths: MASKED_PATHS,
            readonlyPaths: READONLY_PATHS,
          }),
      readonlyRootfs: options.readonlyRoot ?? false,
      noNewPrivs: options.noNewPrivileges ?? false,
    },
  });
  const { cri } = node.runtime;
  const pid = readPid((await cri.containerStatus(containerId)).info);

  const log = (): readonly string[] => readLog(join(pod.logDirectory, `${NAME}.log`));
  const tail = (): string => log().slice(-30).join("\n");

  async function waitExit(timeoutMs = 60_000): Promise<number> {
    for (const deadline = performance.now() + timeoutMs; performance.now() < deadline; await sleep(20)) {
      const { state, exitCode } = await cri.containerStatus(containerId);
      if (state === "ended") return exitCode;
    }
    throw new Error(`Cannot wait longer: the agent still runs after ${timeoutMs} ms\n${tail()}`);
  }

  async function waitReady(): Promise<void> {
    let state = "no answer";
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
      const { state: container, exitCode } = await cri.containerStatus(containerId);
      if (container === "ended") throw new Error(`Cannot use the agent: it ended with ${exitCode}\n${tail()}`);
      try {
        const response = await fetch("http://127.0.0.1:8000/readyz", { signal: AbortSignal.timeout(2000) });
        state = `${response.status} ${(await response.text()).slice(0, 300)}`;
        if (response.status === 200) return;
      } catch (error) {
        state = error instanceof Error ? error.message : String(error);
      }
    }
    throw new Error(`Cannot use the agent: not ready (${state})\n${tail()}`);
  }

  return {
    pod,
    containerId,
    pid,
    log,
    waitExit,
    waitReady,
    async stop() {
      await cri.stopContainer(containerId, 30);
      const status = await waitExit();
      await pod.remove();
      return status;
    },
  };
}

/** The chart's environment as far as the container runtime is given it: PATH is the image's. */
function environment(
  options: ImageAgentOptions,
  names: { readonly serviceAccount: string; readonly nodeName: string; readonly podName: string },
): Readonly<Record<string, string>> {
  const { PATH: _path, ...rest } = renderChartEnvironment({
    installCni: NAME,
    apiServer: options.apiServer,
    cgroup: "",
    ...names,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  return rest;
}

function chartMounts(serviceAccount: string): readonly ContainerMount[] {
  return [
    { hostPath: "/opt/cni/bin", containerPath: "/host/opt/cni/bin", readonly: false },
    { hostPath: "/etc/cni/net.d", containerPath: "/host/etc/cni/net.d", readonly: false },
    { hostPath: "/proc", containerPath: "/host/proc", readonly: true },
    { hostPath: "/run/istio-cni", containerPath: "/var/run/istio-cni", readonly: false },
    { hostPath: serviceAccount, containerPath: "/var/run/secrets/kubernetes.io/serviceaccount", readonly: true },
  ];
}

function readPid(info: string): number {
  const parsed: unknown = JSON.parse(info);
  const pid = typeof parsed === "object" && parsed !== null && "pid" in parsed ? parsed.pid : undefined;
  if (typeof pid !== "number") throw new Error(`Cannot find the container's process: ${info.slice(0, 200)}`);
  return pid;
}

/** Lines as CRI writes them: time, stream, F for a whole or P for a partial line, text. */
function readLog(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(" ").slice(3).join(" "));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
