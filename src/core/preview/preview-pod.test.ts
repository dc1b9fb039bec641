import assert from "node:assert/strict";
import { test } from "node:test";
import { hostNetworkPod, istioInitPod, plainPod, sidecarPod } from "../../../testbed/api-server/pod-fixtures.ts";
import { parseCidr, parseIpAddress } from "../address.ts";
import { readManifestPods } from "../kube/manifest-pods.ts";
import { parseManifestText } from "../kube/manifest-yaml.ts";
import type { Pod } from "../kube/pod.ts";
import { decideBackend } from "../policy/backend-decision.ts";
import { DEFAULT_ENABLEMENT_SELECTORS } from "../policy/enablement-selectors.ts";
import { decideSidecar } from "../policy/sidecar-decision.ts";
import { DEFAULT_PROBE_SOURCE } from "../rules/ambient-numbers.ts";
import { type PreviewSettings, previewPod } from "./preview-pod.ts";

const ip = (text: string) => parseIpAddress(text) ?? assert.fail(text);
const V4 = [ip("10.0.0.1")];
const DUAL = [...V4, ip("fd00::1")];

function podOf(object: object): Pod {
  const [found] = readManifestPods(parseManifestText(JSON.stringify(object)), "default").pods;
  return found?.pod ?? assert.fail("there is no pod");
}

function backend(nativeNftables = false) {
  const facts = {
    nfTables: { answers: true },
    missing: { "iptables-nft": [], nftables: [] },
    legacy: { kernel: true, missingPrograms: [] },
  } as const;
  return decideBackend(facts, { nativeNftables, forceIptables: undefined });
}

const SIDECAR: PreviewSettings = {
  sidecar: {
    excludedNamespaces: ["kube-system"],
    agentNamespace: "istio-system",
    ownerGroups: { include: "*", exclude: [] },
    loopbackCidrV4: parseCidr("127.0.0.1/32") ?? assert.fail(),
  },
  ambient: undefined,
  strictFamilies: false,
  backend: backend(),
};

const AMBIENT: PreviewSettings = {
  ...SIDECAR,
  ambient: {
    selectors: DEFAULT_ENABLEMENT_SELECTORS,
    excludedNamespaces: ["kube-system"],
    agentNamespace: "istio-system",
    systemNamespace: "istio-system",
    dnsCapture: true,
    probeSource: DEFAULT_PROBE_SOURCE,
    ipv6: false,
  },
};

function preview(
  pod: Pod,
  settings: PreviewSettings = SIDECAR,
  told: { addresses?: typeof V4; namespaceLabels?: Record<string, string> } = {},
) {
  return previewPod({ pod, namespaceLabels: told.namespaceLabels, addresses: told.addresses ?? V4 }, settings);
}

test("previewPod() tells of a sidecar pod what is captured, by its addresses and the dialect", () => {
  const pod = podOf(sidecarPod({ namespace: "shop" }));
  const families = (settings: PreviewSettings, addresses: typeof V4) =>
    preview(pod, settings, { addresses }).capture?.families;
  assert.partialDeepStrictEqual(preview(pod), {
    decision: "in",
    reason: "sidecar",
    dialect: "iptables-nft",
    bypassed: [],
  });
  assert.deepEqual(families(SIDECAR, V4), { v4: true, v6: false });
  assert.deepEqual(preview(pod, SIDECAR, { addresses: DUAL }).bypassed, ["ipv6"]);
  assert.deepEqual(families({ ...SIDECAR, strictFamilies: true }, DUAL), { v4: true, v6: true });
  assert.deepEqual(families({ ...SIDECAR, backend: backend(true) }, V4), { v4: true, v6: true });
  assert.equal(preview({ ...pod, hostUsers: false }).dialect, "nftables", "in a user namespace of its own");
  const { plan } = decisionOf(pod);
  const { dualStack: _, ...capture } = plan;
  assert.deepEqual(preview(pod).capture, { ...capture, families: { v4: true, v6: false } });
});

function decisionOf(pod: Pod) {
  const decision = decideSidecar(pod, SIDECAR.sidecar);
  return decision.kind === "capture" ? decision : assert.fail(decision.reason);
}

test("previewPod() says why a pod would be out or refused, and what its author may have missed", () => {
  const plain = preview(podOf(plainPod({ namespace: "shop" })));
  assert.deepEqual([plain.decision, plain.reason], ["out", "no-proxy-container"]);
  assert.match(plain.hint ?? "", /no sidecar before its injection.*kubectl get pod.*istioctl kube-inject/);
  const sidecar = podOf(sidecarPod({ namespace: "shop" }));
  const withoutStatus = { ...sidecar, annotations: {} };
  assert.partialDeepStrictEqual(preview(withoutStatus), { decision: "out", reason: "not-injected" });
  assert.match(preview(withoutStatus).hint ?? "", /istioctl kube-inject/);
  assert.equal(preview(podOf(hostNetworkPod())).reason, "host-network");
  assert.equal(preview(podOf(istioInitPod({ namespace: "shop" }))).reason, "istio-init");
  const bad = {
    ...sidecar,
    annotations: { ...sidecar.annotations, "traffic.sidecar.istio.io/excludeInboundPorts": "80,x" },
  };
  const refused = preview(bad);
  assert.deepEqual([refused.decision, refused.reason, refused.capture], ["refused", "bad-annotation", undefined]);
  assert.match(refused.message ?? "", /excludeInboundPorts/);
  assert.partialDeepStrictEqual(preview(sidecar, SIDECAR, { addresses: [ip("127.0.0.1")] }), { decision: "refused" });
});

test("previewPod() decides in ambient mode by labels, and leaves sidecars to the other mode", () => {
  const pod = podOf(plainPod({ namespace: "shop" }));
  const enrolled = { "istio.io/dataplane-mode": "ambient" };
  assert.partialDeepStrictEqual(preview(pod, AMBIENT), { decision: "undecided", reason: "namespace-unknown" });
  assert.partialDeepStrictEqual(preview(pod, AMBIENT, { namespaceLabels: {} }), {
    decision: "out",
    reason: "not-selected",
  });
  const byNamespace = preview(pod, AMBIENT, { namespaceLabels: enrolled, addresses: DUAL });
  assert.partialDeepStrictEqual(byNamespace, {
    decision: "in",
    reason: "namespace-label",
    bypassed: ["ipv6"],
    dialect: "iptables-nft",
  });
  assert.equal(byNamespace.capture?.mode, "ambient");
  const byItself = { ...pod, labels: enrolled };
  assert.partialDeepStrictEqual(preview(byItself, AMBIENT, { namespaceLabels: {} }), {
    decision: "in",
    reason: "pod-label",
  });
  const sidecar = podOf(sidecarPod({ namespace: "shop" }));
  assert.partialDeepStrictEqual(preview(sidecar, AMBIENT, { namespaceLabels: enrolled }), {
    reason: "sidecar",
    capture: { mode: "REDIRECT" },
  });
});
