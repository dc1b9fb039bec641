import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { parsePod } from "../kube/pod.ts";
import { DEFAULT_ENABLEMENT_SELECTORS, enablementLabels } from "../policy/enablement-selectors.ts";
import { describeInputs } from "./pod-inputs.ts";
import { reasonInWords } from "./reason-words.ts";

function podWith(annotations: Record<string, string>, container: object = {}) {
  return parsePod({
    metadata: { uid: "u", namespace: "shop", name: "web", resourceVersion: "1", annotations },
    spec: { containers: [{ name: "app" }, { name: "istio-proxy", args: ["proxy", "sidecar", "-x"], ...container }] },
    status: { phase: "Running", podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] },
  });
}

describe("describeInputs()", () => {
  const inputsOf = (pod: ReturnType<typeof podWith>) =>
    new Map(
      describeInputs(
        pod,
        { excludedNamespaces: ["kube-system", "a"] },
        { strictFamilies: true, mode: "sidecar", enablement: [] },
      ).map(({ name, value }) => [name, value]),
    );

  it("tells everything the policy reads, absent or not", () => {
    const env = [{ name: "ISTIO_DUAL_STACK", value: "true" }];
    const annotations = {
      "sidecar.istio.io/status": '{"a very": "long document"}',
      "traffic.sidecar.istio.io/excludeOutboundPorts": "3306",
    };
    const inputs = inputsOf(podWith(annotations, { env, securityContext: { runAsUser: 2000 } }));
    assert.deepEqual(
      [...inputs].filter(([, value]) => value !== null),
      [
        ["EXCLUDE_NAMESPACES", "kube-system,a"],
        ["host network", "false"],
        ["container istio-proxy", "container"],
        ["istio-proxy arguments", "proxy sidecar"],
        ["istio-proxy user and group", "2000:default"],
        ["istio-proxy ISTIO_DUAL_STACK", "true"],
        ["annotation sidecar.istio.io/status", "present"],
        ["annotation traffic.sidecar.istio.io/excludeOutboundPorts", "3306"],
        ["AMBIENT_ENABLED", "false"],
        ["user namespace of its own", "false"],
        ["addresses", "10.0.0.1,fd00::1"],
        ["STRICT_FAMILIES", "true"],
        ["phase", "Running"],
      ],
    );
    assert.ok(inputs.has("label sidecar.istio.io/inject") && inputs.has("container istio-init"));
  });

  it("tells in ambient mode the labels by which the selectors go, the namespace's too", () => {
    const settings = { strictFamilies: false, mode: "ambient" } as const;
    const key = "istio.io/dataplane-mode";
    const told = (namespaceLabels: Record<string, string> | undefined) => {
      const enablement = enablementLabels(DEFAULT_ENABLEMENT_SELECTORS, { [key]: "none" }, namespaceLabels);
      const pod = podWith({ "sidecar.istio.io/status": "{}" });
      return describeInputs(pod, { excludedNamespaces: [] }, { ...settings, enablement });
    };
    const seen = told({ [key]: "ambient" });
    assert.deepEqual(
      seen.filter(({ name }) => /AMBIENT|dataplane/.test(name)),
      [
        { name: "AMBIENT_ENABLED", value: "true" },
        { name: `label ${key}`, value: "none" },
        { name: `namespace label ${key}`, value: "ambient" },
      ],
    );
    assert.equal(new Set(seen.map(({ name }) => name)).size, seen.length);
    assert.equal(told({}).find(({ name }) => name === `namespace label ${key}`)?.value, null);
    assert.equal(told(undefined).find(({ name }) => name === `namespace label ${key}`)?.value, "not known yet");
  });

  it("names an annotation of the prefix that nobody follows, and the one that was probably meant", () => {
    const prefix = "traffic.sidecar.istio.io";
    const inputs = inputsOf(
      podWith({ [`${prefix}/excludeOutboundPort`]: "443", [`${prefix}/speed`]: "9", "example.com/speed": "9" }),
    );
    assert.deepEqual(
      [...inputs].filter(([, value]) => value?.startsWith("not known")),
      [
        [
          `annotation ${prefix}/excludeOutboundPort`,
          `not known, ignored; did you mean ${prefix}/excludeOutboundPorts?`,
        ],
        [`annotation ${prefix}/speed`, "not known, ignored"],
      ],
    );
  });

  it("cuts what a pod's author made long", () => {
    const key = "traffic.sidecar.istio.io/includeInboundPorts";
    const value = inputsOf(podWith({ [key]: "1,".repeat(10_000) })).get(`annotation ${key}`);
    assert.equal(value?.length, 301);
  });
});

describe("reasonInWords()", () => {
  it("has a sentence for every reason of the policy", () => {
    const source = readFileSync(new URL("../policy/sidecar-decision.ts", import.meta.url), "utf8");
    const union = /export type SidecarReason =([^;]+);/.exec(source)?.[1] ?? "";
    const reasons = [...union.matchAll(/"([a-z-]+)"/g)].map(([, reason = ""]) => reason);
    assert.ok(reasons.length > 10);
    for (const reason of [...reasons, "finished"]) assert.ok(reasonInWords(reason), reason);
    assert.equal(reasonInWords("toString"), undefined);
  });
});
