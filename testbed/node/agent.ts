// The agent as the DaemonSet runs it: in a container of its own (runc), with the chart's mounts, capabilities and
// environment. It is executed where it lies, nothing is packed: the checkout is visible inside at the same path.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { renderAgentBundle } from "./agent-bundle.ts";
import { runCommand, startCommand } from "./command.ts";
import type { TestPod } from "./pod.ts";

/** Where the agent finds the Kubernetes API. `host` must be reachable from the agent's network namespace. */
export interface AgentApiServer {
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly caPem: string;
}

export interface AgentOptions {
  /** The executable on this machine: ours, or upstream's for a comparison. */
  readonly installCni: string;
  /** Where the image has the plugin at /opt/cni/bin/istio-cni and the agent does not find its own beside itself. */
  readonly plugin?: string;
  /** `--log_output_level=info` unless told. */
  readonly args?: readonly string[];
  /** Added to the chart's environment; the empty string is passed on as such. */
  readonly env?: Readonly<Record<string, string>>;
  readonly apiServer: AgentApiServer;
  /** The token in its service account; the API server's unless told. */
  readonly serviceAccountToken?: string;
  /** The agent's own pod, whose network it shares; without one it shares the node's. */
  readonly pod?: TestPod;
  /** Mounts what the chart adds for ambient mode, and says AMBIENT_ENABLED=true. */
  readonly ambient?: boolean;
  /** The chart's five capabilities (default), every one, or those that a container has that asks for none. */
  readonly capabilities?: "chart" | "all" | "container";
  /** What the chart mounts and sets (default), or only what the kubelet gives any pod: service account and API server. */
  readonly setting?: "chart" | "bare";
  /** Called with every line of its output as it arrives. */
  readonly onLine?: (line: string) => void;
}

/** A started agent. Its container is gone once `exited` has settled. */
export interface TestAgent {
  /** Process id on the node. */
  readonly pid: number;
  /** `performance.now()` at the call that started it; runc's own work, some 50 ms, lies before its first instruction. */
  readonly startedAtMs: number;
  /** Where its HTTP endpoints are reached from the node. */
  readonly address: string;
  /** The last 10,000 lines of its output. */
  readonly log: readonly string[];
  readonly exited: Promise<number>;
  /** Path of its cgroup below the root of each hierarchy. */
  readonly cgroup: string;
  /** GET on one of its ports from the node. @throws when nobody listens, or there is no answer within 30 s. */
  get(port: number, path: string): Promise<{ readonly status: number; readonly text: string }>;
  /** Resolves when /readyz says 200, with the milliseconds since the start.
   * @throws {Error} with its last lines, when it ends or the time passes before. */
  waitReady(timeoutMs?: number): Promise<number>;
  waitForLine(match: (line: string) => boolean, timeoutMs?: number): Promise<string>;
  /** Replaces the service-account token, as the kubelet does. */
  setToken(token: string): void;
  /** Sends the signal and returns the exit status; killed after `graceMs`. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<number>;
  kill(): Promise<number>;
}

export interface AgentDeps {
  readonly stateDir: string;
  readonly cgroup: string;
  readonly nodeName: string;
}

const READY_PORT = 8000;
let started = 0;

/** Starts the agent and returns once its process runs. @throws {Error} when runc cannot start it. */
export async function startAgent(deps: AgentDeps, options: AgentOptions): Promise<TestAgent> {
  started += 1;
  const id = `agent-${started}`;
  const folder = join(deps.stateDir, "agents", id);
  const serviceAccount = join(folder, "serviceaccount");
  mkdirSync(serviceAccount, { recursive: true });
  const setToken = (token: string): void => writeFileSync(join(serviceAccount, "token"), token);
  setToken(options.serviceAccountToken ?? options.apiServer.token);
  writeFileSync(join(serviceAccount, "ca.crt"), options.apiServer.caPem);
  writeFileSync(join(serviceAccount, "namespace"), "istio-system");
  const cgroup = `/${deps.cgroup}/${id}`;
  renderAgentBundle(folder, {
    ...options,
    cgroup,
    serviceAccount,
    nodeName: deps.nodeName,
    podName: `istio-cni-node-${id}`,
  });

  const runc = ["runc", "--root", join(deps.stateDir, "runc")];
  const pidFile = join(folder, "pid");
  const startedAtMs = performance.now();
  const command = startCommand([...runc, "run", "--bundle", folder, "--pid-file", pidFile, id], {
    ...(options.onLine === undefined ? {} : { onLine: options.onLine }),
  });
  const exited = command.exited.then(async (status) => {
    // Nothing to delete is the ordinary case: runc does it itself unless it was killed.
    await runCommand([...runc, "delete", "--force", id]);
    rmSync(folder, { recursive: true, force: true });
    return status;
  });
  const pid = await waitForPid(pidFile, command.exited, command.lines);
  const address = options.pod?.ips[0] ?? "127.0.0.1";
  const host = address.includes(":") ? `[${address}]` : address;

  const get: TestAgent["get"] = async (port, path) => {
    const response = await fetch(`http://${host}:${port}${path}`, { signal: AbortSignal.timeout(30_000) });
    return { status: response.status, text: await response.text() };
  };

  async function waitReady(timeoutMs = 60_000): Promise<number> {
    let ended: number | undefined;
    void command.exited.then((status) => {
      ended = status;
    });
    let state = "no answer";
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline && ended === undefined) {
      try {
        const { status, text } = await get(READY_PORT, "/readyz");
        if (status === 200) return performance.now() - startedAtMs;
        state = `${status} ${text.slice(0, 200)}`;
      } catch (error) {
        state = error instanceof Error ? error.message : String(error);
      }
      await sleep(5);
    }
    const reason = ended === undefined ? `not ready within ${timeoutMs} ms (${state})` : `it ended with ${ended}`;
    throw new Error(`Cannot use the agent: ${reason}\n${command.lines.slice(-30).join("\n")}`);
  }

  async function stop(signal: NodeJS.Signals = "SIGTERM", graceMs = 30_000): Promise<number> {
    sendSignal(pid, signal);
    const timer = setTimeout(() => sendSignal(pid, "SIGKILL"), graceMs);
    return exited.finally(() => clearTimeout(timer));
  }

  return {
    pid,
    startedAtMs,
    address,
    log: command.lines,
    exited,
    cgroup,
    get,
    waitReady,
    waitForLine: command.waitForLine,
    setToken,
    stop,
    kill: () => stop("SIGKILL"),
  };
}

async function waitForPid(path: string, exited: Promise<number>, lines: readonly string[]): Promise<number> {
  let ended: number | undefined;
  void exited.then((status) => {
    ended = status;
  });
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(2)) {
    const pid = readPid(path);
    if (pid !== undefined) return pid;
    if (ended !== undefined) break;
  }
  throw new Error(`Cannot start the agent: runc ended with ${ended}\n${lines.slice(-20).join("\n")}`);
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, "utf8"));
    return pid > 0 ? pid : undefined;
  } catch {
    // runc has not written it yet.
    return undefined;
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already; `exited` tells how.
  }
}
