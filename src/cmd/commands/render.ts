/**
 * `install-cni render`: what an agent would decide on the pods of a manifest and write for them. Needs neither agent nor
 * cluster nor kernel: what these would tell is assumed, and said.
 */

import { type IpAddress, parseIpAddress } from "../../core/address.ts";
import { resolveConfig } from "../../core/config/resolve-config.ts";
import { FileError } from "../../core/file-error.ts";
import { type ManifestPod, type ManifestPods, POD_KINDS, readManifestPods } from "../../core/kube/manifest-pods.ts";
import { MANIFEST_ACCEPTED, parseManifestText } from "../../core/kube/manifest-yaml.ts";
import { KubeObjectError } from "../../core/kube/object-fields.ts";
import { PlainYamlError } from "../../core/kube/plain-yaml.ts";
import { type BackendSettings, decideBackend } from "../../core/policy/backend-decision.ts";
import { describePreview, PREVIEW_SCHEMA_VERSION } from "../../core/preview/preview-document.ts";
import { type Preview, type PreviewSettings, previewPod } from "../../core/preview/preview-pod.ts";
import { renderPreview } from "../../core/preview/render-preview.ts";
import { podInetRules, podRules } from "../../core/rules/pod-capture.ts";
import { renderIptables } from "../../core/rules/render-iptables.ts";
import { renderNft } from "../../core/rules/render-nft.ts";
import { renderJson } from "../../core/text-columns.ts";
import { readInput } from "../../platform/process/read-input.ts";
import { ambientSettings } from "../ambient-settings.ts";
import type { OptionFlags } from "../flags.ts";
import type { RenderRequest } from "../render-flags.ts";
import { sidecarSettings } from "../sidecar-settings.ts";

/** decided: every pod is in or out. notDecided: one would be refused, or there is nothing to print in the form asked for. */
export const RENDER_EXIT_CODES = { decided: 0, notDecided: 1, usage: 2 } as const;

export interface RenderInput {
  readonly flags: OptionFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly request: RenderRequest;
  readonly hasColours: boolean;
}

export interface RenderOutcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: (typeof RENDER_EXIT_CODES)[keyof typeof RENDER_EXIT_CODES];
}

type Previewed = { readonly of: ManifestPod; readonly preview: Preview };

const MAX_BYTES = 8 * 1024 * 1024;
/** A kernel and a node that have everything. */
const COMPLETE = {
  nfTables: { answers: true },
  missing: { "iptables-nft": [], nftables: [] },
  legacy: { kernel: true, missingPrograms: [] },
} as const;
const SAMPLES = { ipv4: ["10.0.0.1"], ipv6: ["fd00::1"], dual: ["10.0.0.1", "fd00::1"] } as const;

/** @throws {ConfigError} for options an agent would not start with. */
export async function renderManifest({ flags, env, request, hasColours }: RenderInput): Promise<RenderOutcome> {
  const { config } = resolveConfig({ flags, env });
  const isAmbient = request.mode === undefined ? config.ambient.enabled : request.mode === "ambient";
  const settings: PreviewSettings = {
    sidecar: sidecarSettings(config),
    ambient: isAmbient ? { ...ambientSettings(config), ipv6: config.ambient.ipv6 } : undefined,
    strictFamilies: config.policy.strictFamilies,
    backend: decideBackend(COMPLETE, backendSettings(request, config.policy)),
  };
  let manifest: ManifestPods;
  try {
    const text = await readInput(request.file, MAX_BYTES);
    manifest = readManifestPods(parseManifestText(text), request.namespace ?? "default");
  } catch (error) {
    const reason = whyUnreadable(error);
    if (reason === undefined) throw error;
    return fail(reason, RENDER_EXIT_CODES.usage);
  }
  if (manifest.pods.length === 0) {
    const found = manifest.others.length === 0 ? "it is empty" : `it has ${manifest.others.slice(0, 8).join(", ")}`;
    return fail(
      `Cannot render: there is no pod in the manifest, ${found}; accepted: ${POD_KINDS.join(", ")}`,
      RENDER_EXIT_CODES.usage,
    );
  }
  const all = manifest.pods.map((of): Previewed => {
    const namespaceLabels = labelsOf(of.namespace, request, manifest);
    return { of, preview: previewPod({ pod: of.pod, namespaceLabels, addresses: addressesOf(of, request) }, settings) };
  });
  const { output } = request;
  if (output === "iptables-save" || output === "ip6tables-save" || output === "nft") return printRules(all, output);
  const document = {
    schemaVersion: PREVIEW_SCHEMA_VERSION,
    mode: isAmbient ? "ambient" : "sidecar",
    families: SAMPLES[request.family ?? "ipv4"].map((ip) => (ip.includes(":") ? "ipv6" : "ipv4")),
    pods: all.map(({ of, preview }) => describePreview(of, preview)),
    others: manifest.others,
  } as const;
  const isDecided = all.every(({ preview: { decision } }) => decision === "in" || decision === "out");
  return {
    stdout: output === "json" ? renderJson(document) : renderPreview(document, hasColours),
    stderr: "",
    exitCode: isDecided ? RENDER_EXIT_CODES.decided : RENDER_EXIT_CODES.notDecided,
  };
}

/** A form of output that only one dialect has chooses it, unless somebody has. */
function backendSettings({ backend, output }: RenderRequest, policy: BackendSettings): BackendSettings {
  const isOpen = backend === undefined && !policy.nativeNftables && policy.forceIptables === undefined;
  const wanted = isOpen && output === "nft" ? "nftables" : backend;
  if (wanted === undefined) return policy;
  if (wanted === "nftables") return { nativeNftables: true, forceIptables: undefined };
  return { nativeNftables: false, forceIptables: wanted === "legacy" ? "legacy" : "nft" };
}

function labelsOf(
  namespace: string,
  { namespaceLabels }: RenderRequest,
  { namespaces }: ManifestPods,
): Readonly<Record<string, string>> | undefined {
  const told = namespaces.get(namespace);
  if (told === undefined && namespaceLabels === undefined) return undefined;
  // The API server gives every namespace this one.
  return { "kubernetes.io/metadata.name": namespace, ...told, ...namespaceLabels };
}

/** Of the manifest where it has them and nobody says otherwise. */
function addressesOf({ pod }: ManifestPod, { family }: RenderRequest): readonly IpAddress[] {
  const told = family === undefined ? pod.podIps : [];
  return (told.length > 0 ? told : SAMPLES[family ?? "ipv4"]).flatMap((text) => parseIpAddress(text) ?? []);
}

/** As the tool of that name loads it. */
function printRules(all: readonly Previewed[], output: "iptables-save" | "ip6tables-save" | "nft"): RenderOutcome {
  const [only, ...others] = all;
  if (only === undefined || others.length > 0) {
    return fail(
      `Cannot print rules as ${output}: the manifest has ${all.length} pods, and this form holds those of one`,
      RENDER_EXIT_CODES.usage,
    );
  }
  const { of, preview } = only;
  const { capture, dialect, reason } = preview;
  const name = `${of.kind} ${of.namespace}/${of.name}`;
  if (capture === undefined || dialect === undefined) {
    return fail(`Cannot print rules as ${output}: ${name} is not captured (${reason})`, RENDER_EXIT_CODES.notDecided);
  }
  if ((dialect === "nftables") !== (output === "nft")) {
    const accepted = dialect === "nftables" ? "--output nft" : "--output iptables-save or ip6tables-save";
    return fail(
      `Cannot print rules as ${output}: ${name} would be written as ${dialect}; accepted: ${accepted}`,
      RENDER_EXIT_CODES.notDecided,
    );
  }
  const wanted = output === "iptables-save" ? 4 : 6;
  const text =
    output === "nft"
      ? podInetRules(capture)
          .map((ruleset) => renderNft(ruleset, { withIntent: true }))
          .join("")
      : podRules(capture)
          .filter(({ family }) => family === wanted)
          .map((ruleset) => renderIptables(ruleset, { withIntent: true }))
          .join("");
  if (text === "") {
    return fail(
      `Cannot print rules as ${output}: IPv${wanted} of ${name} would not be captured`,
      RENDER_EXIT_CODES.notDecided,
    );
  }
  return { stdout: text, stderr: "", exitCode: RENDER_EXIT_CODES.decided };
}

function whyUnreadable(error: unknown): string | undefined {
  if (error instanceof FileError || error instanceof KubeObjectError) return error.message;
  if (error instanceof PlainYamlError) {
    return `Cannot read the manifest: line ${error.line} ${error.detail}; accepted: ${MANIFEST_ACCEPTED}`;
  }
  return undefined;
}

function fail(message: string, exitCode: RenderOutcome["exitCode"]): RenderOutcome {
  return { stdout: "", stderr: `${message}\n`, exitCode };
}
