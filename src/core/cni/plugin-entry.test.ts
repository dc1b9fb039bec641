import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createPluginEntry, isEntryText, renderStandaloneConf } from "./plugin-entry.ts";
import { SAMPLE_ENTRY_OPTIONS } from "./testing.ts";

const OPTIONS = SAMPLE_ENTRY_OPTIONS;

/** contract 3.3 */
const UPSTREAM = {
  ambient_enabled: false,
  cni_agent_run_dir: "/var/run/istio-cni",
  dns: {},
  enable_ambient_detection_retry: false,
  enablement_selectors: [],
  exclude_namespaces: ["kube-system"],
  ipam: {},
  name: "istio-cni",
  native_nftables: false,
  plugin_log_level: "info",
  pod_namespace: "istio-system",
  type: "istio-cni",
};

describe("createPluginEntry()", () => {
  it("has upstream's keys and ours, in order", () => {
    const entry = createPluginEntry(OPTIONS);
    assert.deepEqual(entry, {
      ...UPSTREAM,
      agent_wait_ms: 10_000,
      capabilities: { "io.kubernetes.cri.pod-annotations": true },
    });
    assert.deepEqual(Object.keys(entry), Object.keys(entry).toSorted());
  });

  it("writes null for no excluded namespace, as upstream does", () => {
    assert.equal(createPluginEntry({ ...OPTIONS, excludeNamespaces: [] })["exclude_namespaces"], null);
  });
});

describe("isEntryText()", () => {
  it("compares by value", () => {
    const entry = createPluginEntry(OPTIONS);
    const reversed = Object.fromEntries(Object.entries(entry).toReversed());
    assert.equal(isEntryText(JSON.stringify(reversed, undefined, 3), entry), true);
    assert.equal(isEntryText(JSON.stringify({ ...entry, mtu: 1 }), entry), false);
    assert.equal(isEntryText(JSON.stringify({ ...entry, exclude_namespaces: [] }), entry), false);
  });
});

describe("renderStandaloneConf()", () => {
  it("adds the version that a file of its own needs", () => {
    const text = new TextDecoder().decode(renderStandaloneConf(createPluginEntry(OPTIONS)));
    assert.match(text, /^\{\n {2}"cniVersion": "0\.3\.1",\n[\s\S]*\}\n$/);
  });
});
