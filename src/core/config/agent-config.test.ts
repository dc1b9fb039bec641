import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resolveConfig } from "./resolve-config.ts";

const resolve = (env: Readonly<Record<string, string>>) => resolveConfig({ flags: new Map(), env });

describe("the agent's configuration", () => {
  it("reads the name of our own list where the chart puts it, which upstream does not (D5)", () => {
    const { config } = resolve({ ISTIO_OWNED_CNI_CONF_FILENAME: "01-mesh.conflist" });
    assert.equal(config.install.ownedConfigName, "01-mesh.conflist");
    const both = { ISTIO_OWNED_CNI_CONF_FILENAME: "01-a.conflist", ISTIO_OWNED_CNI_CONFIG_FILENAME: "01-b.conflist" };
    assert.equal(resolve(both).config.install.ownedConfigName, "01-b.conflist");
    assert.equal(
      resolve({ ISTIO_OWNED_CNI_CONF_FILENAME: "" }).config.install.ownedConfigName,
      "02-istio-cni.conflist",
    );
  });

  it("writes a kubeconfig on the host only where that is asked for, and says which options have no effect else", () => {
    const options = { KUBECONFIG_MODE: "0640", SKIP_TLS_VERIFY: "true" };
    const without = resolve(options);
    assert.equal(without.config.install.hostKubeconfig, undefined);
    assert.match(without.notes.join("\n"), /no effect: KUBECONFIG_MODE, SKIP_TLS_VERIFY$/m);
    const { config, notes } = resolve({ ...options, HOST_KUBECONFIG: "true", KUBE_CA_FILE: "/ca.crt" });
    assert.deepEqual(config.install.hostKubeconfig, { mode: 0o640, caFile: "/ca.crt", isInsecure: true });
    assert.doesNotMatch(notes.join("\n"), /HOST_KUBECONFIG/);
  });
});
