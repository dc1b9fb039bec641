// Upstream's agent by its contract (3.3, 3.6 to 3.10), as far as a runtime and its plugin meet it: plugin, kubeconfig, entry in
// the conflist, in this order; two sockets; and at its end what each mode leaves. It enrols nobody: it says that it did.
import { chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isJsonObject, type JsonObject } from "../api-server/kube-object.ts";
import type { TestNode } from "../node/create-node.ts";
import { REPOSITORY } from "../node/repository.ts";
import { renderUpstreamEntry } from "./upstream-entry.ts";

const RUN_DIR = "/run/istio-cni";
/** Between the plugin and what it needs, milliseconds as seen: contract 3.6. */
const BETWEEN_STEPS_MS = 20;

export interface UpstreamAgent {
  /** Bodies of /cmdadd, in order. */
  readonly adds: readonly JsonObject[];
  /** As at SIGTERM with the DaemonSet in place: sidecar mode takes entry, kubeconfig and plugin away, ambient mode nothing. */
  stop(): Promise<void>;
}

/** What its plugin has done so far, one line each; see upstream-plugin.ts. */
export function upstreamCalls(): readonly string[] {
  return readFileSync(join(RUN_DIR, "upstream.calls"), { encoding: "utf8", flag: "a+" }).split("\n").slice(0, -1);
}

/** While it is closed, executions of its plugin wait. */
export function setUpstreamGate(isOpen: boolean): void {
  const gate = join(RUN_DIR, "upstream.gate");
  if (isOpen) rmSync(gate, { force: true });
  else writeFileSync(gate, "");
}

/** Resolves once everything of it is in place. */
export async function startUpstreamAgent(node: TestNode, mode: "sidecar" | "ambient"): Promise<UpstreamAgent> {
  const adds: JsonObject[] = [];
  const kubeconfig = join(RUN_DIR, "istio-cni-kubeconfig");
  const servers = [await listen("log.sock", () => undefined)];
  if (mode === "ambient")
    servers.push(await listen("pluginevent.sock", (body) => void (isJsonObject(body) && adds.push(body))));
  installUpstreamPlugin(node);
  await sleep(BETWEEN_STEPS_MS);
  place(kubeconfig, "apiVersion: v1\ncurrent-context: istio-cni-context\nkind: Config\n", 0o600);
  await sleep(BETWEEN_STEPS_MS);
  chain(node, renderUpstreamEntry({ ambient: mode === "ambient" }));
  return {
    adds,
    async stop() {
      if (mode === "sidecar") {
        chain(node, undefined);
        rmSync(kubeconfig, { force: true });
        rmSync(pluginOf(node), { force: true });
      }
      // Go removes the file of a unix listener with it, as Node does.
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/** Only its plugin's file, by rename. */
export function installUpstreamPlugin(node: TestNode): void {
  const script = join(REPOSITORY, "testbed/upstream/upstream-plugin.ts");
  place(pluginOf(node), `#!/bin/sh\nexec "${process.execPath}" "${script}"\n`, 0o755);
}

/** Its object replaces whatever is of type istio-cni, at the end; undefined: it only goes. Encoded anew, as Go does. */
function chain(node: TestNode, entry: JsonObject | undefined): void {
  const conf: unknown = JSON.parse(readFileSync(node.conflistPath, "utf8"));
  if (!isJsonObject(conf) || !Array.isArray(conf["plugins"])) throw new TypeError("the conflist is none");
  const others = conf["plugins"].filter((plugin) => !isJsonObject(plugin) || plugin["type"] !== "istio-cni");
  const plugins = entry === undefined ? others : [...others, entry];
  place(node.conflistPath, `${JSON.stringify({ ...conf, plugins }, null, 2)}\n`, 0o644);
}

async function listen(name: string, take: (body: unknown) => void): Promise<Server> {
  const path = join(RUN_DIR, name);
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    request.on("end", () => {
      take(JSON.parse(text));
      response.setHeader("connection", "close").end();
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  chmodSync(path, 0o666);
  return server;
}

function pluginOf(node: TestNode): string {
  return join(node.cniBinDir, "istio-cni");
}

function place(path: string, text: string, mode: number): void {
  writeFileSync(`${path}.tmp.1`, text);
  chmodSync(`${path}.tmp.1`, mode);
  renameSync(`${path}.tmp.1`, path);
}
