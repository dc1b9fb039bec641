// Runs the compiled plugin as a runtime does: environment, stdin, exit code, stdout. Builds it first where that is due.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");
const NATIVE = process.arch === "arm64" ? "arm64" : "amd64";

/** Which build: `shipped` is the static executable of this machine, `asan` the one with sanitizers. */
export type Build = "shipped" | "asan";
export const BUILDS: readonly Build[] = ["shipped", "asan"];

/** Path of the executable, up to date with its sources. */
export function pluginPath(build: Build): string {
  const kind = build === "shipped" ? NATIVE : "asan";
  const path = join(ROOT, "out/plugin", kind, "istio-cni");
  if (!isCurrent(path)) {
    execFileSync(join(ROOT, "plugin/build"), [kind], { stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });
  }
  return path;
}

function isCurrent(path: string): boolean {
  const built = statSync(path, { throwIfNoEntry: false });
  if (built === undefined) return false;
  const folder = join(ROOT, "plugin/src");
  const sources = readdirSync(folder).map((name) => join(folder, name));
  sources.push(join(ROOT, "plugin/build"), join(ROOT, "tools/zig-static"), join(ROOT, "package.json"));
  return sources.every((source) => statSync(source).mtimeMs <= built.mtimeMs);
}

export interface PluginRun {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The environment of an ADD of pod shop/cart in the plugin's own namespace, which the override allows. */
export const ADD_ENVIRONMENT = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c0ffee",
  CNI_NETNS: "/proc/self/ns/net",
  CNI_NETNS_OVERRIDE: "1",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
  CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart;K8S_POD_INFRA_CONTAINER_ID=c0ffee;K8S_POD_UID=u1",
} as const;

/** A network configuration that passes everything, with `more` over it. */
export function netconf(more: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    cniVersion: "1.0.0",
    name: "k8s-pod-network",
    type: "istio-cni",
    cni_agent_run_dir: "/nonexistent/istio-cni",
    agent_wait_ms: 0,
    ...more,
  });
}

/**
 * Runs it to its end. Nothing of the test's own environment reaches it.
 * @throws when it does not end within `timeoutMs` or ends by a signal.
 */
export function runPlugin(
  build: Build,
  environment: Readonly<Record<string, string>>,
  stdin: string | Uint8Array = "",
  timeoutMs = 30_000,
  executable = pluginPath(build),
): Promise<PluginRun> {
  const child = spawn(executable, [], {
    env: { ...environment, ASAN_OPTIONS: "exitcode=99:detect_leaks=0", UBSAN_OPTIONS: "print_stacktrace=1" },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const stdout: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
  });
  // The plugin may end before it has read everything; that is its right.
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (exitCode, signal) => {
      if (exitCode === null || exitCode === 99)
        reject(new Error(`The plugin ended by ${signal ?? "a sanitizer"}: ${stderr}`));
      else resolve({ exitCode, stdout: Buffer.concat(stdout), stderr });
    });
  });
}

export interface CniErrorObject {
  readonly cniVersion?: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** The CNI error of a failed run. @throws when it succeeded or stdout is anything else. */
export function cniErrorOf(run: PluginRun): CniErrorObject {
  const error: unknown = JSON.parse(run.stdout.toString("utf8"));
  if (run.exitCode === 0 || typeof error !== "object" || error === null) throw new Error("The plugin did not fail");
  const { code, msg, details, cniVersion } = error as Record<string, unknown>;
  if (typeof code !== "number" || typeof msg !== "string") throw new Error(`No CNI error: ${run.stdout.toString()}`);
  return {
    code,
    msg,
    ...(typeof details === "string" ? { details } : {}),
    ...(typeof cniVersion === "string" ? { cniVersion } : {}),
  };
}

/** A folder that is gone at the end of the block. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "istio-cni-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
