// What `install-cni render` prints for a tool, that tool loads; and the agent then finds nothing that it would change.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createBackend } from "../../src/cmd/backend.ts";
import { renderManifest } from "../../src/cmd/commands/render.ts";
import { parseInvocation } from "../../src/cmd/flags.ts";
import { sidecarSettings } from "../../src/cmd/sidecar-settings.ts";
import { resolveConfig } from "../../src/core/config/resolve-config.ts";
import { readManifestPods } from "../../src/core/kube/manifest-pods.ts";
import { parseManifestText } from "../../src/core/kube/manifest-yaml.ts";
import { decideSidecar } from "../../src/core/policy/sidecar-decision.ts";
import type { PreviewDocument } from "../../src/core/preview/preview-document.ts";
import type { SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";

const folder = mkdtempSync(join(tmpdir(), "render-loads-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const PREFIX = "traffic.sidecar.istio.io/";
const CASES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  defaults: {},
  TPROXY: { "sidecar.istio.io/interceptionMode": "TPROXY" },
  lists: {
    [`${PREFIX}includeInboundPorts`]: "80,443,8080",
    [`${PREFIX}includeOutboundIPRanges`]: "10.0.0.0/8,fd00::/8",
    [`${PREFIX}excludeOutboundPorts`]: "3306",
    [`${PREFIX}excludeInterfaces`]: "eth1",
  },
};

const SETTINGS = sidecarSettings(resolveConfig({ flags: new Map(), env: {} }).config);

function manifestOf(annotations: Readonly<Record<string, string>>): string {
  const pod = sidecarPod({ namespace: "shop", name: "web", podIps: [] });
  const path = join(folder, "pod.json");
  const metadata = { ...pod.metadata, annotations: { ...pod.metadata.annotations, ...annotations } };
  const text = JSON.stringify({ ...pod, metadata });
  writeFileSync(path, text);
  return text;
}

async function render(...args: string[]): Promise<string> {
  const invocation = parseInvocation(["render", "-f", join(folder, "pod.json"), "--family", "ipv6", ...args]);
  assert.ok(invocation.command === "render");
  const { stdout, stderr } = await renderManifest({ ...invocation, env: {}, hasColours: false });
  assert.notEqual(stdout, "", stderr);
  return stdout;
}

/** With both families, as of a pod whose only address is one of IPv6. */
function captureOf(text: string): SidecarCapture {
  const [found] = readManifestPods(parseManifestText(text), "default").pods;
  assert.ok(found !== undefined);
  const decision = decideSidecar(found.pod, SETTINGS);
  assert.ok(decision.kind === "capture");
  const { dualStack: _, ...capture } = decision.plan;
  return { ...capture, families: { v4: true, v6: true } };
}

const LOADS: Readonly<Record<string, (netns: TestNetns) => Promise<void>>> = {
  iptables: async (netns) => {
    netns.mustExec(["iptables-nft-restore"], { input: await render("-o", "iptables-save") });
    netns.mustExec(["ip6tables-nft-restore"], { input: await render("-o", "ip6tables-save") });
  },
  nftables: async (netns) => void netns.mustExec(["nft", "-f", "-"], { input: await render("-o", "nft") }),
  legacy: async (netns) => {
    const args = ["--backend", "legacy", "-o"];
    netns.mustExec(["iptables-legacy-restore"], { input: await render(...args, "iptables-save") });
    netns.mustExec(["ip6tables-legacy-restore"], { input: await render(...args, "ip6tables-save") });
  },
};

for (const [backendName, load] of Object.entries(LOADS)) {
  for (const [name, annotations] of Object.entries(CASES)) {
    test(`${backendName}, ${name}: what is rendered is loaded, and is what the agent wants`, async () => {
      const capture = captureOf(manifestOf(annotations));
      using netns = createNetns();
      const forceIptables = { iptables: "nft", legacy: "legacy" } as const;
      const { backend } = createBackend(
        {
          nativeNftables: backendName === "nftables",
          forceIptables:
            backendName === "iptables" || backendName === "legacy" ? forceIptables[backendName] : undefined,
        },
        [],
      );
      assert.notDeepEqual(await backend.drift(netns.fd, capture), [], "nothing is there yet");
      await load(netns);
      const document = JSON.parse(await render("-o", "json")) as PreviewDocument;
      for (const { command } of document.pods[0]?.routing ?? []) netns.mustExec(command.split(" "));
      assert.deepEqual(await backend.drift(netns.fd, capture), []);
    });
  }
}
