// The installed plugin, executed by hand: with exactly what the runtime gave it for a pod, read from the runtime's own
// records, but in fresh network namespaces. For what a sandbox start does not show: exit code, output, time.
import { randomUUID } from "node:crypto";
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isJsonObject, type JsonObject } from "../api-server/kube-object.ts";
import { type CommandResult, mustRun, runCommand } from "./command.ts";
import { compileStatic } from "./compile.ts";
import type { TestNode } from "./create-node.ts";
import type { TestPod } from "./pod.ts";
import { REPOSITORY } from "./repository.ts";

/** What a runtime hands to the plugin for ADD. */
export interface PluginInput {
  readonly netconf: JsonObject;
  readonly containerId: string;
  readonly args: string;
}

/** How the runs went; each has a network namespace of its own, which has no interface but lo. */
export interface PluginRuns {
  /** From before vfork to after waitpid, one for each run. */
  readonly milliseconds: readonly number[];
  /** Runs that did not exit with 0. */
  readonly failed: number;
  /** Of the last run. */
  readonly stdout: string;
}

const PLUGIN = "istio-cni";

/** What the runtime passed for this pod, from libcni's cache (libcni/api.go, cniCacheV1) and the conflist as it is now.
 * @throws {Error} when the runtime keeps no record of the pod, or our plugin is not in the conflist. */
export function readPluginInput(node: TestNode, pod: TestPod): PluginInput {
  const [path] = globSync(`/var/lib/cni/results/*-${pod.id}-eth0`);
  if (path === undefined) throw new Error(`Cannot find what plugins were given for ${pod.name}: no cached result`);
  const cached = readJson(path);
  const conflist = readJson(node.conflistPath);
  const plugins = Array.isArray(conflist["plugins"]) ? conflist["plugins"].map(asJsonObject) : [];
  const entry = plugins.find(({ type }) => type === PLUGIN);
  if (entry === undefined) throw new Error(`Cannot find ${PLUGIN} in ${node.conflistPath}`);
  const { capabilities, ...rest } = entry;
  const given = asJsonObject(cached["capabilityArgs"]);
  const asked = Object.entries(asJsonObject(capabilities)).filter(([name, is]) => is === true && name in given);
  const args = Array.isArray(cached["cniArgs"]) ? cached["cniArgs"] : [];
  return {
    netconf: {
      ...rest,
      cniVersion: conflist["cniVersion"] ?? "",
      name: conflist["name"] ?? "",
      prevResult: cached["result"] ?? null,
      ...(asked.length === 0
        ? {}
        : { runtimeConfig: Object.fromEntries(asked.map(([name]) => [name, given[name] ?? null])) }),
    },
    containerId: pod.id,
    args: args.map((pair) => (Array.isArray(pair) ? pair.join("=") : "")).join(";"),
  };
}

/** Runs the installed plugin `count` times with ADD, as sandboxes that nobody else knows; the last is deleted again. */
export async function runInstalledPlugin(node: TestNode, input: PluginInput, count = 1): Promise<PluginRuns> {
  const program = join(node.cniBinDir, PLUGIN);
  const containerId = `by-hand-${input.containerId.slice(0, 12)}-${randomUUID().slice(0, 8)}`;
  const env = {
    CNI_CONTAINERID: containerId,
    CNI_IFNAME: "eth0",
    CNI_ARGS: input.args,
    CNI_PATH: node.cniBinDir,
  };
  const stdin = JSON.stringify(input.netconf);
  const runs = await run([String(count), program], stdin, { ...env, CNI_COMMAND: "ADD" });
  await run(["1", program], stdin, { ...env, CNI_COMMAND: "DEL" });
  return runs;
}

/** Calls the installed plugin once, as a runtime that has no PATH, with these variables and no others of CNI. */
export async function callInstalledPlugin(
  node: TestNode,
  env: Readonly<Record<string, string>>,
  stdin: string | JsonObject,
): Promise<CommandResult> {
  const path = writeInput(typeof stdin === "string" ? stdin : JSON.stringify(stdin));
  try {
    return await runCommand([join(node.cniBinDir, PLUGIN)], { env: { PATH: "", ...env }, stdinPath: path });
  } finally {
    rmSync(path);
  }
}

async function run(argv: readonly string[], stdin: string, env: Readonly<Record<string, string>>): Promise<PluginRuns> {
  const timer = compileStatic(join(REPOSITORY, "testbed/node/exec-timer.c"));
  const path = writeInput(stdin);
  try {
    const text = await mustRun([timer, ...argv], { env, stdinPath: path, timeoutMs: 120_000 });
    const parsed = asJsonObject(JSON.parse(text));
    const ns = Array.isArray(parsed["ns"]) ? parsed["ns"].map(Number) : [];
    return {
      milliseconds: ns.map((value) => value / 1e6),
      failed: Number(parsed["failed"]),
      stdout: String(parsed["stdout"]),
    };
  } finally {
    rmSync(path);
  }
}

function writeInput(stdin: string): string {
  mkdirSync("/run/testbed/by-hand", { recursive: true });
  const path = `/run/testbed/by-hand/${randomUUID()}`;
  writeFileSync(path, stdin);
  return path;
}

function asJsonObject(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

function readJson(path: string): JsonObject {
  return asJsonObject(JSON.parse(readFileSync(path, "utf8")));
}
