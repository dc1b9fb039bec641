import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resolveConfig } from "../core/config/resolve-config.ts";
import { findRightsProblems } from "./rights-problems.ts";
import { describeStandalone } from "./standalone.ts";

const configOf = (env: Readonly<Record<string, string>>) => resolveConfig({ flags: new Map(), env }).config;

describe("findRightsProblems()", () => {
  it("names every capability that is missing, what it is for, and who has to grant it (P11)", () => {
    assert.deepEqual(findRightsProblems("CapEff:\t00000000a80425fb\n"), [
      "Missing capabilities: NET_ADMIN (writing rules), SYS_ADMIN (entering pods' network namespaces), SYS_PTRACE (finding the namespaces of pods that run); the DaemonSet has to grant them (securityContext.capabilities.add, or privileged: true), as upstream's chart does",
    ]);
  });

  it("says nothing where all are there, or nobody can tell", () => {
    assert.deepEqual(findRightsProblems("CapEff:\t0000000000283002\n"), []);
    assert.deepEqual(findRightsProblems(""), []);
  });
});

describe("describeStandalone()", () => {
  it("says outside a cluster what is missing and what to do (P12)", async () => {
    const lines = await describeStandalone(
      configOf({ MOUNTED_CNI_NET_DIR: "/missing/net.d", CNI_BIN_DIR: "/missing" }),
    );
    assert.match(lines[0] ?? "", /^Cannot run by itself: /);
    assert.match(lines[1] ?? "", /^Missing: the API server; KUBERNETES_SERVICE_HOST and .* KUBECONFIG/);
    assert.ok(lines.some((line) => /^Missing in this container: \/missing\/net\.d, \/host\/missing;/.test(line)));
    assert.match(
      lines.at(-1) ?? "",
      /^What to do: .*helm install .*image=IMAGE.*; what works here is .*--help, version and config$/,
    );
  });

  it("says nothing where an API server is named", async () => {
    assert.deepEqual(await describeStandalone(configOf({ KUBERNETES_SERVICE_HOST: "h" })), []);
    assert.deepEqual(await describeStandalone(configOf({ KUBECONFIG: "/k" })), []);
  });
});
