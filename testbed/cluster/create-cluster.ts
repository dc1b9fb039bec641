// A Kubernetes for the cluster tier, whichever there is: the shared lab, or one that KUBECONFIG names. Everything is
// done through kubectl, so that tests are the same in both; what only the lab can do is undefined elsewhere.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../api-server/kube-object.ts";
import { type CommandResult, mustRun, runCommand } from "../node/command.ts";
import { until as waitUntil } from "../until.ts";
import { findCluster } from "./find-cluster.ts";
import { type Lab, startLab } from "./lab.ts";

/** A cluster in use by one owner. Disposing deletes what `apply()` made, or takes the whole lab down. */
export interface Cluster extends AsyncDisposable {
  /** Only in the lab: its node can be looked at and have its power cut. */
  readonly lab: Lab | undefined;
  /** Path of a kubeconfig as JSON with everything in it: the current context, no other file. */
  readonly kubeconfig: string;
  readonly nodeName: string;
  /** Runs kubectl to its end and returns stdout. @throws {Error} with its words unless it ends with 0. */
  kubectl(args: readonly string[], timeoutMs?: number): Promise<string>;
  /** As `kubectl()`, whatever the status. */
  tryKubectl(args: readonly string[], timeoutMs?: number): Promise<CommandResult>;
  /** `kubectl get … -o json`, parsed. */
  get(...args: readonly string[]): Promise<JsonObject>;
  /** Applies a file of manifests, or objects. */
  apply(what: string | readonly JsonObject[]): Promise<void>;
  /** Makes a namespace and waits until pods can be made in it. */
  createNamespace(name: string): Promise<void>;
  /** Brings an image archive to the nodes. */
  loadImage(archive: Uint8Array): Promise<void>;
}

const ASK_EVERY_MS = 200;

/** Finds a cluster and makes it ready for use.
 * @throws {Error} with a sentence that says what is missing. */
export async function createCluster(): Promise<Cluster> {
  const source = findCluster();
  if (source.kind === "none") throw new Error(source.reason);
  const lab = source.kind === "lab" ? await startLab(source.folder) : undefined;
  // In the lab's own folder where there is one: it goes with the lab, whatever ends this process.
  const folder = mkdtempSync(join(lab?.stateDir ?? tmpdir(), "cluster-"));
  const close = async (): Promise<void> => {
    rmSync(folder, { recursive: true, force: true });
    await lab?.[Symbol.asyncDispose]();
  };
  try {
    const kubeconfig = source.kind === "given" ? source.kubeconfig : (lab?.kubeconfig ?? "");
    const program = lab === undefined ? ["kubectl", "--kubeconfig", kubeconfig] : [lab.script, "kubectl"];
    const tryKubectl: Cluster["tryKubectl"] = (args, timeoutMs) => runCommand([...program, ...args], limit(timeoutMs));
    const kubectl: Cluster["kubectl"] = (args, timeoutMs) => mustRun([...program, ...args], limit(timeoutMs));
    const get: Cluster["get"] = async (...args) => JSON.parse(await kubectl(["get", ...args, "-o", "json"]));
    const applied: string[] = [];
    let files = 0;
    const write = (suffix: string, content: string | Uint8Array): string => {
      files += 1;
      const path = join(folder, `${files}.${suffix}`);
      writeFileSync(path, content);
      return path;
    };
    const apply: Cluster["apply"] = async (what) => {
      const path =
        typeof what === "string"
          ? what
          : write("json", JSON.stringify({ apiVersion: "v1", kind: "List", items: what }));
      applied.push(path);
      await kubectl(["apply", "-f", path]);
    };
    return {
      lab,
      kubeconfig: write("json", await kubectl(["config", "view", "--raw", "--flatten", "--minify", "-o", "json"])),
      nodeName: await kubectl(["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]),
      kubectl,
      tryKubectl,
      get,
      apply,
      async createNamespace(name) {
        await apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name } }]);
        const serviceAccount = ["-n", name, "get", "serviceaccount", "default"];
        await until(
          `a service account in ${name}`,
          30_000,
          async () => (await tryKubectl(serviceAccount)).status === 0,
        );
      },
      async loadImage(archive) {
        const path = write("tar", archive);
        const load = source.kind === "given" ? source.loadImage : [lab?.script ?? "", "load-image"];
        await mustRun([...load, path], { timeoutMs: 120_000 });
        rmSync(path);
      },
      async [Symbol.asyncDispose]() {
        // The lab is thrown away whole.
        const toDelete = lab === undefined ? applied.reverse() : [];
        for (const path of toDelete) await tryKubectl(["delete", "--ignore-not-found", "-f", path], 120_000);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Asks again and again, at the pace of kubectl. @throws {Error} naming `what` when the time has passed. */
export function until(what: string, timeoutMs: number, isDone: () => Promise<boolean>): Promise<void> {
  return waitUntil(what, isDone, timeoutMs, ASK_EVERY_MS);
}

/** For tests that install the agent. @throws {Error} when the cluster runs one already: two would fight. */
export async function refuseIstio(cluster: Cluster): Promise<void> {
  const { items } = await cluster.get("daemonsets", "-A", "-l", "k8s-app=istio-cni-node");
  if (!Array.isArray(items) || items.length > 0)
    throw new Error("Cannot run the cluster tier: the cluster runs istio-cni-node already; take another");
}

function limit(timeoutMs = 60_000): { readonly timeoutMs: number } {
  return { timeoutMs };
}
