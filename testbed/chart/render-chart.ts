// The chart as helm renders it, without a cluster: as text, and parsed by helm's own YAML reader.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isJsonObject, type JsonObject, readText } from "../api-server/kube-object.ts";
import { type CommandResult, mustRun, runCommand } from "../node/command.ts";
import { REPOSITORY } from "../node/repository.ts";
import { findHelm } from "./find-helm.ts";

export const CHART = join(REPOSITORY, "chart");

/** Of the server that helm imagines; what a test does not ask for otherwise. */
const KUBE_VERSION = "v1.35.0";

/** How the chart is rendered. `args` as on helm's command line; `chart` is another than ours. */
export interface RenderOptions {
  readonly args?: readonly string[];
  readonly kubeVersion?: string;
  readonly chart?: string;
}

/** `helm template`, whatever its status. */
export async function tryRender({
  args = [],
  kubeVersion = KUBE_VERSION,
  chart = CHART,
}: RenderOptions = {}): Promise<CommandResult> {
  const place = ["istio-cni", chart, "-n", "istio-system", "--kube-version", kubeVersion];
  return await runCommand([await findHelm(), "template", ...place, ...args], { timeoutMs: 60_000 });
}

/** The same as text. @throws {Error} with helm's words when it refuses. */
export async function render(options: RenderOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await tryRender(options);
  if (status !== 0) throw new Error(`Cannot render the chart with ${options.args?.join(" ") ?? "defaults"}: ${stderr}`);
  return stdout;
}

/** The objects of a rendering, hooks included. */
export async function renderObjects(options: RenderOptions = {}): Promise<readonly JsonObject[]> {
  return parseYaml(await render(options));
}

/** YAML documents as helm reads them: a chart of one template that writes them as JSON. */
export async function parseYaml(documents: string): Promise<readonly JsonObject[]> {
  const folder = mkdtempSync(join(tmpdir(), "parse-yaml-"));
  try {
    const write = (path: string, text: string): void => writeFileSync(join(folder, path), text);
    write("Chart.yaml", "apiVersion: v2\nname: parse\nversion: 0.0.0\n");
    write("documents.yaml", `\n${documents}`);
    await mustRun(["mkdir", join(folder, "templates")]);
    const body = `{{ range splitList "\\n---" (.Files.Get "documents.yaml") }}{{ with fromYaml . }}
---
apiVersion: v1
kind: ConfigMap
metadata: { name: parsed }
data:
  json: {{ toJson . | b64enc }}
{{ end }}{{ end }}`;
    write("templates/out.yaml", body);
    const text = await mustRun([await findHelm(), "template", "parse", folder], { timeoutMs: 60_000 });
    return [...text.matchAll(/^ {2}json: (\S+)$/gm)].map(([, encoded = ""]) => {
      const value: unknown = JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
      if (!isJsonObject(value) || "Error" in value) throw new Error(`Cannot read YAML: ${JSON.stringify(value)}`);
      return value;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The object of this kind and name. @throws {Error} when there is none, or more than one. */
export function pick(objects: readonly JsonObject[], kind: string, name?: string): JsonObject {
  const found = objects.filter(
    (object) => object["kind"] === kind && (name === undefined || readText(object, "metadata", "name") === name),
  );
  const [object] = found;
  if (object === undefined || found.length > 1)
    throw new Error(`Cannot pick ${kind} ${name ?? ""}: there are ${found.length}`);
  return object;
}
