import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "../../core/config/config-error.ts";
import { renderConfig } from "./config.ts";

describe("renderConfig()", () => {
  it("keeps values and remarks apart", async () => {
    const flags = new Map([["monitoring-port", ["1"]]]);
    const { stdout, stderr } = await renderConfig({ flags, env: { KUBECONFIG_MODE: "600" }, output: "text" });
    assert.match(stdout, /^--monitoring-port +flag +1$/m);
    assert.match(stderr, /^warning: KUBECONFIG_MODE: 600/);
    assert.match(stderr, /^Without HOST_KUBECONFIG no kubeconfig is written .*: KUBECONFIG_MODE$/m);
    const json = await renderConfig({ flags, env: {}, output: "json" });
    assert.doesNotThrow(() => JSON.parse(json.stdout));
    assert.equal(json.stderr, "");
  });

  it("refuses what the agent would refuse", async () => {
    for (const env of [{ MONITORING_PORT: "x" }, { CNI_NETWORK_CONFIG_FILE: "/nowhere/x.json" }]) {
      await assert.rejects(renderConfig({ flags: new Map(), env, output: "text" }), ConfigError);
    }
  });
});
