import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { HostView } from "../../core/cni/host-view.ts";
import { TestHost } from "../../platform/fs/testing.ts";
import { findPluginUsers } from "./plugin-users.ts";

const MULTUS = '{"name":"m","type":"multus-shim"}';
const BRIDGE = '{"name":"n","plugins":[{"type":"bridge"}]}';
const CHAIN = '{"plugins":[{"type":"bridge"},{"type":"istio-cni"}]}';
const withUs = JSON.stringify({ kind: "cniCacheV1", config: btoa(CHAIN) });
const withoutUs = JSON.stringify({ kind: "cniCacheV1", config: btoa(BRIDGE) });

function viewOf(text: string): HostView {
  const files = [{ name: "00.conf", content: { bytes: new TextEncoder().encode(text) }, unchangedMs: 0 }];
  return { pluginUnavailable: undefined, netDir: { path: "/n", files, backups: new Map() }, binDirs: [] };
}

function fill(host: TestHost, entries: Readonly<Record<string, string>>): void {
  const folder = join(host.root, "var/lib/cni/results");
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(entries)) writeFileSync(join(folder, name), text);
}

describe("findPluginUsers()", () => {
  const cases: readonly [
    string,
    string[] | undefined,
    string,
    Record<string, string> | undefined,
    RegExp | undefined,
  ][] = [
    ["containerd, which goes by the chain of the moment", ["containerd"], BRIDGE, { a: withUs }, undefined],
    ["CRI-O without a sandbox of ours", ["crio"], BRIDGE, { a: withoutUs }, undefined],
    ["CRI-O that never made a sandbox", ["crio"], BRIDGE, undefined, undefined],
    ["CRI-O with sandboxes of ours", ["crio"], BRIDGE, { a: withUs, b: withoutUs }, /^crio calls it at the end of 1 /],
    ["Multus with sandboxes of ours", ["containerd"], MULTUS, { a: CHAIN }, /^Multus calls it at the end of 1 /],
    ["a runtime that cannot be seen, without a sandbox of ours", undefined, BRIDGE, {}, undefined],
    ["a runtime that cannot be seen", undefined, BRIDGE, { a: withUs }, /cannot be seen from here calls it/],
  ];
  for (const [what, processes, conf, entries, expected] of cases) {
    it(`${expected === undefined ? "needs no plugin" : "keeps the plugin"}: ${what}`, async () => {
      using host = new TestHost();
      if (entries !== undefined) fill(host, entries);
      const processNames = async () => processes && new Set(processes);
      const reason = await findPluginUsers({ files: host.files, processNames }, viewOf(conf), host.root);
      if (expected === undefined) assert.equal(reason, undefined);
      else assert.match(reason ?? "", expected);
    });
  }

  it("keeps the plugin for CRI-O where the host cannot be looked into", async () => {
    using host = new TestHost();
    const deps = { files: host.files, processNames: async () => new Set(["crio"]) };
    const reason = await findPluginUsers(deps, viewOf(BRIDGE), join(host.root, "missing"));
    assert.match(reason ?? "", /^crio may call it .* cannot be read from here$/);
  });
});
