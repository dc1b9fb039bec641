// Programs inside a pod's network namespace: a stand-in for the sidecar proxy, an application, and the probe that asks
// who answers. They are processes of the node, not containers: a pod start is then a sandbox and nothing else.
import { type RunningCommand, runCommand, startCommand } from "../node/command.ts";

/** What is needed of a pod and of the node it runs on. */
export interface PodNetwork {
  readonly netnsPath: string;
}

/** One connection that a sidecar or an application accepted. Addresses as `ip:port` or `[ip]:port`. */
export interface AcceptedConnection {
  readonly captured: boolean;
  readonly port: number;
  readonly peer: string;
  /** Where the connection was going before any redirection. */
  readonly original: string;
}

/** A listening program. Ends with `stop()`, or with the process that started it. */
export interface Listener extends AsyncDisposable {
  readonly pid: number;
  /** What it accepted so far. */
  connections(): readonly AcceptedConnection[];
  stop(): Promise<void>;
}

/** What a probe met: an answer (and whose), or how the connection failed. */
export type ProbeResult =
  | { readonly outcome: "captured"; readonly port: number; readonly original: string }
  | { readonly outcome: "direct"; readonly port: number }
  | { readonly outcome: "refused" | "reset" | "unreachable" | "timeout" | "failed"; readonly error: string };

/** The user and group of Istio's proxy. */
export const PROXY_UID = 1337;

/** Starts the stand-in for the proxy as uid and gid 1337 on 15001 and 15006, in both families.
 * `transparent` accepts what TPROXY sends (it then needs to be root). */
export function startSidecar(
  nettool: string,
  pod: PodNetwork,
  options: { readonly transparent?: boolean } = {},
): Promise<Listener> {
  const user = options.transparent === true ? [] : ["--uid", String(PROXY_UID), "--gid", String(PROXY_UID)];
  const flags = options.transparent === true ? ["--transparent"] : [];
  return listen([nettool, "--netns", pod.netnsPath, ...user, "sidecar", ...flags]);
}

/** Starts an application that answers "direct" on each port, in both families. */
export function startApplication(nettool: string, pod: PodNetwork, ports: readonly number[]): Promise<Listener> {
  return listen([nettool, "--netns", pod.netnsPath, "serve", ...ports.map(String)]);
}

/** Connects from inside a pod (or from the node, without `pod`) and tells who answered. `uid` is root unless told. */
export async function probe(
  nettool: string,
  target: { readonly ip: string; readonly port: number },
  from: { readonly pod?: PodNetwork; readonly uid?: number; readonly timeoutMs?: number } = {},
): Promise<ProbeResult> {
  const netns = from.pod === undefined ? [] : ["--netns", from.pod.netnsPath];
  const user = from.uid === undefined ? [] : ["--gid", String(from.uid), "--uid", String(from.uid)];
  const timeout = String(from.timeoutMs ?? 20_000);
  const argv = [nettool, ...netns, ...user, "probe", "--timeout", timeout, target.ip, String(target.port)];
  const done = await runCommand(argv);
  if (done.status !== 0) throw new Error(`Cannot probe ${target.ip} port ${target.port}: ${done.stderr}`);
  return parseProbe(done.stdout);
}

/** Reads the probe's line. @throws {Error} when an answer is from neither of our programs. */
export function parseProbe(text: string): ProbeResult {
  const line = parseLine(text);
  if (line["outcome"] !== "answered") {
    const failures = ["refused", "reset", "unreachable", "timeout"] as const;
    return { outcome: failures.find((name) => name === line["outcome"]) ?? "failed", error: String(line["error"]) };
  }
  const answer = String(line["answer"]);
  const captured = /^captured (\d+) orig=(\S+)$/.exec(answer);
  if (captured?.[1] !== undefined && captured[2] !== undefined)
    return { outcome: "captured", port: Number(captured[1]), original: captured[2] };
  const direct = /^direct (\d+)$/.exec(answer);
  if (direct === null) throw new Error(`Cannot read the probe's answer: "${answer}" is not of sidecar or application`);
  return { outcome: "direct", port: Number(direct[1]) };
}

async function listen(argv: readonly string[]): Promise<Listener> {
  const command: RunningCommand = startCommand(argv);
  await command.waitForLine((line) => line.includes('"listening"'));
  const stop = async (): Promise<void> => void (await command.stop("SIGKILL"));
  return {
    pid: command.pid,
    connections: () =>
      command.lines.flatMap((text) => {
        const line = parseLine(text);
        if (line["event"] !== "connection") return [];
        return {
          captured: line["captured"] === true,
          port: Number(line["port"]),
          peer: String(line["peer"]),
          original: String(line["original"]),
        };
      }),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function parseLine(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(text);
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
