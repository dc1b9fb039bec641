import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ConfigError } from "../core/config/config-error.ts";
import { resolveConfig } from "../core/config/resolve-config.ts";
import { readNetworkConfig } from "./network-config.ts";

const fromFile = (path: string) =>
  readNetworkConfig(resolveConfig({ flags: new Map(), env: { CNI_NETWORK_CONFIG_FILE: path } }).config);

describe("readNetworkConfig()", () => {
  it("reads the file of a mounted ConfigMap, which is a symlink", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "istio-cni-network-config-"));
    t.after(() => rmSync(folder, { recursive: true }));
    // As the kubelet lays them out (pkg/volume/util/atomic_writer.go).
    mkdirSync(join(folder, "..2026_11_22_16_00_00.1"));
    writeFileSync(join(folder, "..2026_11_22_16_00_00.1", "cni_network_config"), '{"log_level":"debug"}');
    symlinkSync("..2026_11_22_16_00_00.1", join(folder, "..data"));
    symlinkSync("..data/cni_network_config", join(folder, "cni_network_config"));
    assert.deepEqual(await fromFile(join(folder, "cni_network_config")), { log_level: "debug" });
  });

  it("refuses what is no regular file, no JSON object or not there, and says what it would take", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "istio-cni-network-config-"));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "list"), "[]");
    symlinkSync("nothing", join(folder, "dangling"));
    for (const [path, state] of [
      [folder, "it is a folder"],
      [join(folder, "list"), "it holds no JSON object"],
      [join(folder, "dangling"), "it does not exist"],
      ["/dev/zero", "it is no regular file"],
    ] as const) {
      await assert.rejects(fromFile(path), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /^Cannot use CNI_NETWORK_CONFIG_FILE: .*; accepted: a JSON object$/);
        assert.ok(error.message.includes(state), error.message);
        return true;
      });
    }
  });
});
