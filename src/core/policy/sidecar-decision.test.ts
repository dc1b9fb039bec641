import assert from "node:assert/strict";
import { test } from "node:test";
import { formatCidr } from "../address.ts";
import { type Pod, parsePod } from "../kube/pod.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../rules/sidecar-capture.ts";
import { CAPTURE_ANNOTATIONS, MAX_LIST_ENTRIES } from "./sidecar-annotations.ts";
import { decideSidecar, type SidecarDecision, type SidecarReason, type SidecarSettings } from "./sidecar-decision.ts";

const settings: SidecarSettings = {
  excludedNamespaces: ["kube-system"],
  agentNamespace: "istio-system",
  ownerGroups: DEFAULT_SIDECAR_CAPTURE.ownerGroups,
  loopbackCidrV4: DEFAULT_SIDECAR_CAPTURE.loopbackCidrV4,
};

interface Change {
  readonly metadata?: Record<string, unknown>;
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly spec?: Record<string, unknown>;
  readonly proxy?: Record<string, unknown>;
}

/** A pod as the injector leaves it, changed. */
function injected({ metadata, annotations, labels, spec, proxy }: Change = {}): Pod {
  return parsePod({
    metadata: {
      uid: "u1",
      name: "web",
      namespace: "shop",
      resourceVersion: "1",
      annotations: { "sidecar.istio.io/status": "{}", ...annotations },
      labels: labels ?? {},
      ...metadata,
    },
    spec: {
      containers: [{ name: "app" }, { name: "istio-proxy", args: ["proxy", "sidecar"], ...proxy }],
      ...spec,
    },
  });
}

const decide = (change: Change = {}): SidecarDecision => decideSidecar(injected(change), settings);

function planOf(change: Change) {
  const decision = decide(change);
  assert.equal(decision.kind, "capture", JSON.stringify(decision));
  return decision.kind === "capture" ? decision : assert.fail();
}

test("decideSidecar() captures an injected pod with the defaults", () => {
  const { plan, hints } = planOf({});
  const { families: _families, ...defaults } = DEFAULT_SIDECAR_CAPTURE;
  assert.deepEqual(plan, { ...defaults, dualStack: false });
  assert.deepEqual(hints, []);
});

const passes: [SidecarReason, Change][] = [
  ["own-agent", { metadata: { name: "istio-cni-node-x7k2p", namespace: "istio-system" } }],
  ["excluded-namespace", { metadata: { namespace: "kube-system" } }],
  ["host-network", { spec: { hostNetwork: true, containers: [{ name: "istio-proxy" }] } }],
  ["istio-init", { spec: { initContainers: [{ name: "istio-init" }], containers: [{ name: "istio-proxy" }] } }],
  ["proxy-disabled", { proxy: { env: [{ name: "DISABLE_ENVOY", value: "true" }] } }],
  ["no-proxy-container", { spec: { containers: [{ name: "app" }] } }],
  ["proxy-not-sidecar", { proxy: { args: ["proxy", "router"] } }],
  ["inject-disabled", { labels: { "sidecar.istio.io/inject": "false" } }],
  ["inject-disabled", { annotations: { "sidecar.istio.io/inject": "F" } }],
  ["not-injected", { metadata: { annotations: {} } }],
  ["interception-mode-none", { annotations: { [CAPTURE_ANNOTATIONS.interceptionMode]: "NONE" } }],
];
for (const [reason, change] of passes) {
  test(`decideSidecar() passes ${reason}: ${JSON.stringify(change)}`, () => {
    assert.deepEqual(decide(change), { kind: "pass", reason });
  });
}

test("decideSidecar() knows a native sidecar, and lets an ordinary container of that name win", () => {
  const native = planOf({
    spec: {
      initContainers: [{ name: "istio-proxy", args: ["proxy", "sidecar"], securityContext: { runAsUser: 7 } }],
      containers: [{ name: "app" }],
    },
  });
  assert.deepEqual(native.plan.proxyUids, [7]);
  const both = planOf({
    spec: {
      initContainers: [{ name: "istio-proxy", securityContext: { runAsUser: 7 } }],
      containers: [{ name: "istio-proxy", securityContext: { runAsUser: 8 } }],
    },
  });
  assert.deepEqual(both.plan.proxyUids, [8]);
});

test("decideSidecar() does not mind arguments that are too few to tell, nor an unreadable inject value", () => {
  planOf({ proxy: { args: ["proxy"] } });
  planOf({ proxy: { args: [] } });
  planOf({ labels: { "sidecar.istio.io/inject": "nope" } });
  planOf({ labels: { "sidecar.istio.io/inject": "true" }, annotations: { "sidecar.istio.io/inject": "false" } });
});

test("decideSidecar() trusts the runtime's annotations over the object's", () => {
  const pod = injected({ metadata: { annotations: {} } });
  assert.equal(decideSidecar(pod, settings, { "sidecar.istio.io/status": "{}" }).kind, "capture");
  assert.deepEqual(decideSidecar(injected(), settings, {}), { kind: "pass", reason: "not-injected" });
});

test("decideSidecar() takes ids from the proxy container, and 1337 for root or nothing", () => {
  const { plan } = planOf({ proxy: { securityContext: { runAsUser: 0, runAsGroup: 1000650000 } } });
  assert.deepEqual([plan.proxyUids, plan.proxyGids], [[1337], [1000650000]]);
});

test("decideSidecar() reads flags of the proxy's environment and says which it could not read", () => {
  const { plan, hints } = planOf({
    proxy: {
      env: [
        { name: "ISTIO_META_DNS_CAPTURE", value: "TRUE" },
        { name: "ISTIO_DUAL_STACK", value: "yes" },
        { name: "INVALID_DROP", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ],
    },
  });
  assert.deepEqual([plan.dnsCapture, plan.dualStack, plan.dropInvalid], [true, false, false]);
  assert.deepEqual(hints, ['ISTIO_DUAL_STACK="yes" of istio-proxy is no boolean and counts as false']);
});

test("decideSidecar() reads every list", () => {
  const { plan } = planOf({
    annotations: {
      [CAPTURE_ANNOTATIONS.interceptionMode]: "TPROXY",
      [CAPTURE_ANNOTATIONS.includeOutboundIpRanges]: "10.0.0.0/8, fd00::/8",
      [CAPTURE_ANNOTATIONS.excludeOutboundIpRanges]: "10.1.2.3/32",
      [CAPTURE_ANNOTATIONS.includeInboundPorts]: "80, 443",
      [CAPTURE_ANNOTATIONS.excludeInboundPorts]: "15021,7",
      [CAPTURE_ANNOTATIONS.includeOutboundPorts]: "3306",
      [CAPTURE_ANNOTATIONS.excludeOutboundPorts]: "",
      [CAPTURE_ANNOTATIONS.excludeInterfaces]: "net1,not.this-1",
      [CAPTURE_ANNOTATIONS.kubevirtInterfaces]: "k6t-eth0",
    },
  });
  assert.equal(plan.mode, "TPROXY");
  assert.deepEqual((plan.outboundIpRanges.include === "*" ? [] : plan.outboundIpRanges.include).map(formatCidr), [
    "10.0.0.0/8",
    "fd00::/8",
  ]);
  assert.deepEqual(plan.outboundIpRanges.exclude.map(formatCidr), ["10.1.2.3/32"]);
  assert.deepEqual(plan.inboundPorts, { include: [80, 443], exclude: [15021, 7, 15020, 15090] });
  assert.deepEqual(plan.outboundPorts, { include: [3306], exclude: [] });
  assert.deepEqual(plan.excludeInterfaces, ["net1", "not.this-1"]);
  assert.deepEqual(plan.rerouteVirtualInterfaces, ["k6t-eth0"]);
});

test("decideSidecar() prefers reroute-virtual-interfaces to its old name, even when it is empty", () => {
  const { plan } = planOf({
    annotations: {
      [CAPTURE_ANNOTATIONS.kubevirtInterfaces]: "old0",
      [CAPTURE_ANNOTATIONS.rerouteVirtualInterfaces]: "",
    },
  });
  assert.deepEqual(plan.rerouteVirtualInterfaces, []);
});

test("decideSidecar() takes no notice of status.sidecar.istio.io/port, whatever it says", () => {
  const { plan } = planOf({ annotations: { "status.sidecar.istio.io/port": "-1" } });
  assert.deepEqual(plan, planOf({}).plan);
});

const refused: [keyof typeof CAPTURE_ANNOTATIONS, string][] = [
  ["interceptionMode", "tproxy"],
  ["interceptionMode", ""],
  ["includeOutboundIpRanges", "*,10.0.0.0/8"],
  ["includeOutboundIpRanges", "10.0.0.1"],
  ["excludeOutboundIpRanges", "*"],
  ["excludeOutboundIpRanges", "10.0.0.0/33"],
  ["includeInboundPorts", "80,"],
  ["includeInboundPorts", "65536"],
  ["excludeInboundPorts", "*"],
  ["includeOutboundPorts", "http"],
  ["excludeOutboundPorts", "*"],
  ["excludeOutboundPorts", "-1"],
  ["excludeOutboundPorts", "1".repeat(5000)],
  ["includeOutboundPorts", Array.from({ length: MAX_LIST_ENTRIES + 1 }, () => "1").join(",")],
  ["excludeInterfaces", "eth0 -j ACCEPT"],
  ["excludeInterfaces", "0eth"],
  ["excludeInterfaces", "abcdefghijklmnop"],
  ["rerouteVirtualInterfaces", "tap0;reboot"],
  ["kubevirtInterfaces", "a,,b"],
];
for (const [key, value] of refused) {
  test(`decideSidecar() refuses ${key} ${JSON.stringify(value.slice(0, 40))} by name, value and what is accepted`, () => {
    const decision = decide({ annotations: { [CAPTURE_ANNOTATIONS[key]]: value } });
    assert.equal(decision.kind, "refuse", JSON.stringify(decision));
    const { message } = decision.kind === "refuse" ? decision : assert.fail();
    assert.ok(message.includes(CAPTURE_ANNOTATIONS[key]), message);
    assert.ok(message.includes(JSON.stringify(value).slice(0, 20).replace(/"$/, "")), message);
    assert.match(message, /it takes/);
    assert.ok(message.length < 500, "bounded");
  });
}

test("decideSidecar() refuses lists that are short each and make a million rules together", () => {
  const guests = Array.from({ length: 65 }, (_, index) => `tap${index}`);
  const ranges = Array.from({ length: 64 }, (_, index) => `10.0.${index}.0/24`).join(",");
  for (const key of ["rerouteVirtualInterfaces", "kubevirtInterfaces"] as const) {
    const name = CAPTURE_ANNOTATIONS[key];
    const decideWith = (count: number) =>
      decide({
        annotations: {
          [CAPTURE_ANNOTATIONS.includeOutboundIpRanges]: ranges,
          [name]: guests.slice(0, count).join(","),
        },
      });
    assert.equal(decideWith(64).kind, "capture");
    const decision = decideWith(65);
    assert.partialDeepStrictEqual(decision, { kind: "refuse", reason: "bad-annotation" });
    assert.match(JSON.stringify(decision), new RegExp(`${name}: .*4096 rules with the ranges of `));
  }
});

for (const [key, id] of [
  ["runAsUser", 4294967296],
  ["runAsUser", -1],
  ["runAsGroup", 4294967295],
  ["runAsGroup", 4294967301],
] as const) {
  test(`decideSidecar() refuses ${key} ${id}, which the kernel would take for another id or none`, () => {
    const decision = decide({ proxy: { securityContext: { [key]: id } } });
    assert.partialDeepStrictEqual(decision, { kind: "refuse", reason: "bad-proxy-id" });
    assert.match(JSON.stringify(decision), new RegExp(`${key} of istio-proxy: ${id} is no id`));
  });
}
