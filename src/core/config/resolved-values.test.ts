// What single options come to, and several together: names of files, folders of the host, the node's name, levels of the log.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ResolvedConfig, resolveConfig } from "./resolve-config.ts";

function resolve(env: Record<string, string> = {}, flags: Record<string, readonly string[]> = {}): ResolvedConfig {
  return resolveConfig({ env, flags: new Map(Object.entries(flags)) });
}

describe("the names of configuration files", () => {
  it("are refused where no runtime would read the file, or it would be its own original", () => {
    const owned = { ISTIO_OWNED_CNI_CONFIG: "true", AMBIENT_ENABLED: "true" };
    for (const [env, message] of [
      [{ CHAINED_CNI_PLUGIN: "false", CNI_CONF_NAME: "10-x.conflist" }, /"10-x\.conflist", and with .*ends in \.conf$/],
      [{ ...owned, CNI_CONF_NAME: "02-istio-cni.conflist" }, /"02-istio-cni\.conflist" is CNI_CONF_NAME already/],
      [{ ISTIO_OWNED_CNI_CONFIG_FILENAME: ".conflist" }, /"\.conflist"; accepted: .* ends in \.conflist$/],
    ] as const) {
      assert.throws(() => resolve(env), { name: "ConfigError", message });
    }
    assert.doesNotThrow(() => resolve({ CHAINED_CNI_PLUGIN: "false", CNI_CONF_NAME: "50-istio.conf" }));
    assert.doesNotThrow(() => resolve({ CNI_CONF_NAME: "02-istio-cni.conflist" }));
    assert.doesNotThrow(() => resolve({ ...owned, CNI_CONF_NAME: "10-x.conflist" }));
  });
});

describe("the directories of the host", () => {
  const netDir = (env: Record<string, string>) => resolve(env).config.install.netDir;
  const binDirs = (env: Record<string, string>) => resolve(env).config.install.binDirs;

  it("takes MOUNTED_CNI_NET_DIR literally and before CNI_NET_DIR", () => {
    assert.deepEqual(netDir({ MOUNTED_CNI_NET_DIR: "/m", CNI_NET_DIR: "/n" }), ["/m"]);
  });

  it("looks for CNI_NET_DIR below /host, then as given, then where the chart mounts", () => {
    assert.deepEqual(netDir({ CNI_NET_DIR: "/etc/rke/net.d" }), [
      "/host/etc/rke/net.d",
      "/etc/rke/net.d",
      "/host/etc/cni/net.d",
    ]);
    assert.deepEqual(netDir({ CNI_NET_DIR: "/etc/cni/net.d" }), ["/host/etc/cni/net.d", "/etc/cni/net.d"]);
    assert.deepEqual(netDir({ CNI_NET_DIR: "/host/x" }), ["/host/x"]);
  });

  it("never takes the image's own /opt/cni/bin for the host's", () => {
    assert.deepEqual(binDirs({ CNI_BIN_DIR: "/opt/cni/bin" }), [["/host/opt/cni/bin"]]);
    assert.deepEqual(binDirs({ CNI_BIN_DIR: "/var/lib/cni" }), [
      ["/host/var/lib/cni", "/var/lib/cni", "/host/opt/cni/bin"],
    ]);
  });

  it("takes several plugin directories, each on its own", () => {
    assert.deepEqual(binDirs({ CNI_BIN_DIR: "/opt/cni/bin:/usr/libexec/cni" }), [
      ["/host/opt/cni/bin"],
      ["/host/usr/libexec/cni", "/usr/libexec/cni"],
    ]);
  });
});

describe("the node's name", () => {
  it("comes from NODE_NAME, REPAIR_NODE_NAME, KUBERNETES_NODE_NAME, in that order", () => {
    const names = { NODE_NAME: "a", REPAIR_NODE_NAME: "b", KUBERNETES_NODE_NAME: "c" };
    assert.equal(resolve(names).config.api.nodeName, "a");
    assert.equal(resolve(names).config.repair.nodeName, "b");
    assert.equal(resolve({ ...names, NODE_NAME: "" }).config.api.nodeName, "b");
    assert.equal(resolve({ KUBERNETES_NODE_NAME: "c" }).config.api.nodeName, "c");
    assert.equal(resolve({ NODE_NAME: "a" }).config.repair.nodeName, "a");
    assert.equal(resolve().config.api.nodeName, undefined);
  });

  it("may be one word as long as a host's name can be", () => {
    const name = "n".repeat(64);
    assert.equal(resolve({ NODE_NAME: name }).config.api.nodeName, name);
    assert.throws(() => resolve({ NODE_NAME: "n".repeat(254) }), {
      name: "ConfigError",
      message: /at most 253 characters/,
    });
  });
});

describe("the log's levels", () => {
  const levels = (env: Record<string, string>, flag?: string) =>
    resolve(env, flag === undefined ? {} : { log_output_level: [flag] });

  it("come from LOG_LEVEL for every scope", () => {
    assert.deepEqual(levels({ LOG_LEVEL: "debug" }).config.log.levels, [{ scope: "all", level: "debug" }]);
  });

  it("come from the flag when it speaks for all lines, and the loser is noted", () => {
    const resolved = levels({ LOG_LEVEL: "debug" }, "info");
    assert.deepEqual(resolved.config.log.levels, [{ scope: "default", level: "info" }]);
    assert.deepEqual(resolved.notes, ["LOG_LEVEL=debug is overridden by --log_output_level=default:info"]);
  });

  it("come from both when the flag names single scopes", () => {
    assert.deepEqual(levels({ LOG_LEVEL: "error" }, "cni-plugin:debug").config.log.levels, [
      { scope: "all", level: "error" },
      { scope: "cni-plugin", level: "debug" },
    ]);
  });

  it("warn of scopes that do not exist, but not of upstream's", () => {
    assert.deepEqual(levels({}, "default:info,grpc:none,ambient:debug,cni:debug").warnings, [
      "--log_output_level names scopes that do not exist here: ambient, cni; known: default, cni-agent, cni-plugin, all",
    ]);
  });
});
