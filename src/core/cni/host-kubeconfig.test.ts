import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseKubeconfig } from "../kube/kubeconfig.ts";
import { isIstioCniKubeconfig, renderHostKubeconfig } from "./host-kubeconfig.ts";

const ca = new TextEncoder().encode("-----BEGIN CERTIFICATE-----");
const BASE = { protocol: "https", host: "10.96.0.1", port: 443, ca, token: "a.b.c\n" } as const;

describe("renderHostKubeconfig()", () => {
  it("names server, authority, user and context as upstream does (contract 3.4)", () => {
    assert.equal(
      renderHostKubeconfig(BASE),
      [
        "apiVersion: v1",
        "kind: Config",
        "clusters:",
        "- name: local",
        "  cluster:",
        "    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
        '    server: "https://10.96.0.1:443"',
        "users:",
        "- name: istio-cni",
        "  user:",
        '    token: "a.b.c\\n"',
        "contexts:",
        "- name: istio-cni-context",
        "  context:",
        "    cluster: local",
        "    user: istio-cni",
        "current-context: istio-cni-context",
        "",
      ].join("\n"),
    );
  });

  it("writes IPv6 in brackets, and trust in any server where that is asked for", () => {
    const text = renderHostKubeconfig({ ...BASE, host: "fd00::1", ca: undefined });
    assert.match(text, /server: "https:\/\/\[fd00::1\]:443"/);
    assert.match(text, /insecure-skip-tls-verify: true/);
    assert.doesNotMatch(text, /certificate-authority-data/);
  });

  it("is read by our own reader of kubeconfigs", () => {
    const { server, token } = parseKubeconfig(renderHostKubeconfig(BASE), "f");
    assert.deepEqual([server, token], ["https://10.96.0.1:443", BASE.token]);
  });
});

describe("isIstioCniKubeconfig()", () => {
  // As upstream 1.30 and 1.23 write theirs: keys sorted, no quotes.
  const upstream = "apiVersion: v1\nclusters: []\ncurrent-context: istio-cni-context\nkind: Config\nusers: []\n";
  for (const [text, expected] of [
    [renderHostKubeconfig(BASE), true],
    [upstream, true],
    [upstream.replace("istio-cni-context", '"istio-cni-context"'), true],
    [upstream.replace("istio-cni-context", "admin"), false],
    [upstream.replace("kind: Config", "kind: Secret"), false],
    ["", false],
  ] as const) {
    it(`${expected ? "recognises" : "does not take for one"} ${JSON.stringify(text.slice(-60))}`, () => {
      assert.equal(isIstioCniKubeconfig(new TextEncoder().encode(text)), expected);
    });
  }
});
