import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatIp } from "../address.ts";
import { DEFAULT_ENABLEMENT_SELECTORS } from "../policy/enablement-selectors.ts";
import { ConfigError } from "./config-error.ts";
import { ALL_OPTIONS, type OptionEntry } from "./options.ts";
import { listValues, type ResolvedConfig, resolveConfig } from "./resolve-config.ts";

const OVERSIZE = "x".repeat(70_000);

/** Per option: a text that is refused, and one that is accepted and differs from the default, as it is shown. */
const CASES: Readonly<Record<string, { readonly bad: string; readonly good: string; readonly shown?: string }>> = {
  "install.cniConfName": { bad: "a/b.conf", good: "10-calico.conflist" },
  "install.chainedCniPlugin": { bad: "yes", good: "F", shown: "false" },
  "install.istioOwnedCniConfig": { bad: "TRue", good: "T", shown: "true" },
  "install.istioOwnedCniConfigFilename": { bad: "..", good: "01-ours.conflist" },
  "install.istioOwnedCniConfFilename": { bad: "..", good: "01-ours.conflist" },
  "install.mountedCniNetDir": { bad: "host/etc", good: "/host/net.d//", shown: "/host/net.d" },
  "install.cniNetDir": { bad: "etc/cni/net.d", good: "/etc/rancher/net.d" },
  "install.cniBinDir": { bad: "/a:b", good: "/a, /b:/a", shown: "/a:/b" },
  "install.cniNetworkConfig": { bad: "[1]", good: '{"log":true}' },
  "install.cniNetworkConfigFile": { bad: "x.json", good: "/etc/x.json" },
  "install.cniAgentRunDir": { bad: `/${"r".repeat(90)}`, good: "/run/cni" },
  "install.cniConfGroupRead": { bad: "2", good: "1", shown: "true" },
  "install.kubecfgFileName": { bad: "a/b", good: "cfg" },
  "install.conflistFight": { bad: "win", good: "own" },
  "install.hostKubeconfig": { bad: "y", good: "true" },
  "install.kubeconfigMode": { bad: "0800", good: "0o640", shown: "0640" },
  "install.kubeCaFile": { bad: "ca.crt", good: "/ca.crt" },
  "install.skipTlsVerify": { bad: "?", good: "true" },
  "install.pluginAgentWait": { bad: "15", good: "40s" },
  "api.serviceHost": { bad: "@@ x", good: "[fd00::1]" },
  "api.servicePort": { bad: "65536", good: "6443" },
  "api.kubeconfig": { bad: "/a:/b", good: "/root/.kube/config" },
  "api.nodeName": { bad: "Node_1", good: "node-1.example" },
  "api.kubernetesNodeName": { bad: "a..b", good: "node-1" },
  "api.podName": { bad: "a b", good: "istio-cni-node-x7k2p" },
  "api.podNamespace": { bad: "a.b", good: "istio-system" },
  "policy.excludeNamespaces": { bad: "kube-system,Bad", good: " kube-system, ,b ", shown: "kube-system,b" },
  "policy.strictFamilies": { bad: "on", good: "t", shown: "true" },
  "policy.nativeNftables": { bad: "y", good: "true" },
  "policy.forceIptablesBinary": { bad: "iptables", good: "legacy" },
  "sidecar.outboundOwnerGroups": { bad: "a b", good: "1000,staff" },
  "sidecar.outboundOwnerGroupsExclude": { bad: "*", good: "1000" },
  "sidecar.outboundIpv4LoopbackCidr": { bad: "127.0.0.1", good: "127.0.0.0/8" },
  "sidecar.envoyUser": { bad: "\u0000", good: "envoy" },
  "ambient.enabled": { bad: "maybe", good: "true" },
  "ambient.enablementSelectors": {
    bad: OVERSIZE,
    good: "- podSelector: {}\n",
    shown: '[{"podSelector":{},"namespaceSelector":{}}]',
  },
  "ambient.whenAway": { bad: "later", good: "strict" },
  "ambient.ztunnelUdsAddress": { bad: `/${"z".repeat(107)}`, good: "/run/z.sock" },
  "ambient.detectionRetry": { bad: "-", good: "true" },
  "ambient.dnsCapture": { bad: "10", good: "true" },
  "ambient.ipv6": { bad: "6", good: "true" },
  "ambient.disableSafeUpgrade": { bad: " true", good: "true" },
  "ambient.reconcilePodRulesOnStartup": { bad: "true ", good: "true" },
  "ambient.systemNamespace": { bad: "-a", good: "kube-system" },
  "ambient.hostProbeSnatIp": { bad: "169.254.7", good: "169.254.1.2" },
  "ambient.hostProbeSnatIpv6": { bad: "169.254.7.127", good: "fd00::1" },
  "ambient.useScopedXtablesLocking": { bad: "off", good: "0", shown: "false" },
  "ambient.enableAwsBranchEniProbe": { bad: "no", good: "False", shown: "false" },
  "ambient.allowSwitchToHostNs": { bad: "host", good: "True", shown: "true" },
  "verify.interval": { bad: "0s", good: "5s" },
  "verify.wholeInterval": { bad: "1s", good: "2m" },
  "repair.enabled": { bad: "enabled", good: "FALSE", shown: "false" },
  "repair.repairPods": { bad: "null", good: "true" },
  "repair.deletePods": { bad: "tru", good: "true" },
  "repair.labelPods": { bad: "01", good: "true" },
  "repair.brokenPodLabelKey": { bad: "a/b/c", good: "example.com/broken" },
  "repair.brokenPodLabelValue": { bad: "a b", good: "yes" },
  "repair.nodeName": { bad: "UPPER", good: "node-2" },
  "repair.sidecarAnnotation": { bad: "/x", good: "example.com/status" },
  "repair.initContainerName": { bad: "a_b", good: "check" },
  "repair.initContainerTerminationMessage": { bad: OVERSIZE, good: "no rules" },
  "repair.initContainerExitCode": { bad: "1e2", good: "0x7f", shown: "127" },
  "repair.labelSelectors": { bad: "a\tb\u0000", good: "app=x,tier!=y" },
  "repair.fieldSelectors": { bad: "\u0085", good: "status.phase=Pending" },
  "log.outputLevel": { bad: "default:loud", good: "debug,cni-plugin:error", shown: "default:debug,cni-plugin:error" },
  "log.level": { bad: "verbose", good: "debug" },
  "log.asJson": { bad: "json", good: "true" },
  "log.targets": { bad: "log.txt", good: "/var/log/agent.log" },
  "monitoring.port": { bad: "abc", good: "0" },
  "monitoring.statusPage": { bad: "yes please", good: "true" },
  "accepted.kubernetesServiceProtocol": { bad: OVERSIZE, good: "https" },
  "accepted.logCaller": { bad: OVERSIZE, good: "all" },
  "accepted.logStacktraceLevel": { bad: "a:b:c", good: "all:error" },
  "accepted.ctrlzPort": { bad: "-1", good: "9877" },
  "accepted.ctrlzAddress": { bad: OVERSIZE, good: "*" },
  "accepted.dryRunFilePath": { bad: OVERSIZE, good: "/tmp/x" },
  "accepted.revision": { bad: OVERSIZE, good: "canary" },
  "accepted.repairRunAsDaemon": { bad: OVERSIZE, good: "true" },
  "accepted.currentAgentVersion": { bad: OVERSIZE, good: "1.30.3" },
  "accepted.goMemLimit": { bad: OVERSIZE, good: "134217728" },
  "accepted.goMaxProcs": { bad: OVERSIZE, good: "2" },
  "accepted.metricsLocalhostAccessOnly": { bad: OVERSIZE, good: "true" },
  "accepted.compliancePolicy": { bad: OVERSIZE, good: "fips-140-2" },
};

function resolve(env: Record<string, string> = {}, flags: Record<string, readonly string[]> = {}): ResolvedConfig {
  return resolveConfig({ env, flags: new Map(Object.entries(flags)) });
}

/** The two ways to give one option a text. */
function waysToGive({ option }: OptionEntry, text: string): { readonly name: string; run(): ResolvedConfig }[] {
  const { flag, env } = option;
  return [
    ...(flag === undefined ? [] : [{ name: `--${flag}`, run: () => resolve({}, { [flag]: [text] }) }]),
    ...(env === undefined ? [] : [{ name: env, run: () => resolve({ [env]: text }) }]),
  ];
}

describe("the options table", () => {
  it("has a malformed and a good value in this test for every option, and nothing else", () => {
    assert.deepEqual(
      Object.keys(CASES),
      ALL_OPTIONS.map(({ id }) => id),
    );
  });

  it("names every flag and every variable once", () => {
    const names = ALL_OPTIONS.flatMap(({ option }) => [option.flag, option.env].filter((name) => name !== undefined));
    assert.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
    );
    assert.ok(ALL_OPTIONS.every(({ option }) => (option.flag ?? option.env) !== undefined));
  });

  it("shows every default in a form that reads back as the same value", () => {
    for (const { id, option } of ALL_OPTIONS) {
      if (option.fallbackText !== undefined) continue;
      const shown = option.type.render(option.fallback);
      if (shown !== "") assert.deepEqual(option.type.parse(shown), option.fallback, id);
    }
  });
});

describe("resolveConfig()", () => {
  for (const entry of ALL_OPTIONS) {
    const { bad, good, shown } = CASES[entry.id] ?? { bad: "", good: "" };
    it(`refuses a malformed ${entry.id} and says what it is and what is accepted`, () => {
      for (const { name, run } of waysToGive(entry, bad)) {
        assert.throws(run, (error: unknown) => {
          assert.ok(error instanceof ConfigError);
          assert.equal(error.code, "malformed-value");
          const [problem] = error.problems;
          assert.equal(problem?.option, name);
          assert.equal(problem?.value, bad);
          assert.ok(error.message.startsWith(`Cannot use ${name}: it is "`), error.message);
          assert.ok(error.message.endsWith(`; accepted: ${entry.option.type.accepts}`), error.message);
          assert.ok(!error.message.includes("\n") && error.message.length < 600, error.message);
          return true;
        });
      }
    });

    it(`reads ${entry.id} and tells where it comes from`, () => {
      for (const { name, run } of waysToGive(entry, good)) {
        const resolved = run();
        const source = name.startsWith("--") ? "flag" : "environment";
        assert.equal(resolved.sources[entry.id], source);
        const listed = listValues(resolved)[ALL_OPTIONS.indexOf(entry)];
        assert.equal(listed?.value, shown ?? good);
        assert.equal(listed?.source, source);
        const isNoted = resolved.notes.some(
          (note) => note.startsWith("Accepted without effect") && note.includes(name),
        );
        assert.equal(isNoted, entry.option.inert !== undefined);
      }
    });
  }

  it("takes a flag before a variable before the default", () => {
    const both = resolve({ MONITORING_PORT: "1" }, { "monitoring-port": ["2"] });
    assert.equal(both.config.monitoring.port, 2);
    assert.equal(resolve({ MONITORING_PORT: "1" }).config.monitoring.port, 1);
    assert.equal(resolve().config.monitoring.port, 15014);
  });

  it("takes the last of a repeated flag, and all of a repeatable one", () => {
    assert.equal(resolve({}, { "monitoring-port": ["1", "2"] }).config.monitoring.port, 2);
    assert.throws(() => resolve({}, { "monitoring-port": ["x", "2"] }), ConfigError);
    assert.deepEqual(resolve({}, { log_target: ["stderr", "/a"] }).config.log.targets, ["stderr", "/a"]);
  });

  it("needs none of the variables", () => {
    const { config, warnings, notes } = resolve();
    assert.deepEqual([warnings, notes], [[], []]);
    assert.deepEqual(config.install, {
      cniConfName: undefined,
      chained: true,
      ownsConfig: false,
      ownedConfigName: "02-istio-cni.conflist",
      netDir: ["/host/etc/cni/net.d"],
      binDirs: [["/host/opt/cni/bin"]],
      runDir: "/var/run/istio-cni",
      configMode: 0o600,
      networkConfig: undefined,
      networkConfigFile: undefined,
      legacyKubeconfigName: "ZZZ-istio-cni-kubeconfig",
      hostKubeconfig: undefined,
      fight: "keep",
      pluginAgentWaitMs: 15_000,
    });
    assert.deepEqual(config.log, { levels: [{ scope: "all", level: "info" }], asJson: false, targets: ["stdout"] });
  });

  it("counts a variable that is set but empty as unset, and says so where upstream read something else", () => {
    const empty = Object.fromEntries(
      ALL_OPTIONS.flatMap(({ option }) => (option.env === undefined ? [] : [[option.env, ""]])),
    );
    const { config, notes } = resolve(empty);
    assert.deepEqual(config, resolve().config);
    assert.ok(notes.includes("REPAIR_ENABLED is set but empty, which counts as unset: true holds"));
    assert.ok(!notes.some((note) => note.startsWith("AMBIENT_ENABLED")));
  });

  it("takes an empty flag as an empty value", () => {
    assert.equal(resolve({}, { "repair-init-container-name": [""] }).config.repair.initContainerName, "");
    assert.throws(() => resolve({}, { "repair-enabled": [""] }), /Cannot use --repair-enabled: it is ""/);
  });

  it("lists every malformed value in one error", () => {
    assert.throws(
      () => resolve({ REPAIR_ENABLED: "x", HOST_PROBE_SNAT_IP: "y" }),
      (error: unknown) =>
        error instanceof ConfigError && error.problems.length === 2 && error.message.split("\n").length === 2,
    );
  });

  it("quotes hostile values on one line and abridges them", () => {
    assert.throws(
      () => resolve({ MONITORING_PORT: `1\n2026-01-01\tinfo\u202e\u001b[2J${"9".repeat(100_000)}` }),
      (error: unknown) => {
        assert.ok(error instanceof Error);
        assert.match(error.message, /^Cannot use MONITORING_PORT: it is "1\\n2026-01-01\\tinfo.*…"; accepted: /);
        assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
        return true;
      },
    );
  });

  it("ignores unknown variables and hints at near misses", () => {
    const { warnings } = resolve({
      EXCLUDED_NAMESPACES: "a",
      PATH: "/bin",
      AMBIENT_ENABLE: "1",
      FOO_SERVICE_HOST: "x",
    });
    assert.deepEqual(warnings, [
      "Environment variable EXCLUDED_NAMESPACES is not known and ignored; did you mean EXCLUDE_NAMESPACES?",
      "Environment variable AMBIENT_ENABLE is not known and ignored; did you mean AMBIENT_ENABLED?",
    ]);
  });

  it("bounds its hints", () => {
    const env = Object.fromEntries(
      Array.from({ length: 300 }, (_, n) => [`NODE_NAM${String.fromCharCode(65 + (n % 26))}${n}`, ""]),
    );
    assert.ok(resolve({ ...env, NODE_NAMEA: "", NODE_NAMEB: "", NODE_NAMEC: "", NODE_NAMED: "" }).warnings.length <= 5);
  });

  it("warns of a file mode without a leading zero", () => {
    assert.deepEqual(resolve({ KUBECONFIG_MODE: "600" }).warnings, [
      "KUBECONFIG_MODE: 600 is a decimal number here, that is mode 01130; write 0600 for octal",
    ]);
    assert.deepEqual(resolve({ KUBECONFIG_MODE: "0600" }).warnings, []);
  });

  it("tells what is wrong with selectors, and where", () => {
    const text = "- podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}";
    assert.throws(
      () => resolve({ AMBIENT_ENABLEMENT_SELECTOR: text }),
      (error: unknown) =>
        error instanceof ConfigError &&
        error.problems[0]?.value === text &&
        error.message ===
          'Cannot use AMBIENT_ENABLEMENT_SELECTOR: operator of matchExpressions[0] of podSelector of entry 1 is "in"; accepted: In, NotIn, Exists, DoesNotExist',
    );
  });

  it("tells which part of a selector of the repair nobody can follow", () => {
    assert.throws(() => resolve({ REPAIR_LABEL_SELECTORS: "app,b in (c", REPAIR_FIELD_SELECTORS: "spec.foo=x" }), {
      name: "ConfigError",
      message:
        /^Cannot use REPAIR_LABEL_SELECTORS: "b in \(c" is no .*\nCannot use REPAIR_FIELD_SELECTORS: "spec\.foo=x" is no /,
    });
  });

  it("warns of selectors that take every pod", () => {
    assert.deepEqual(resolve({ AMBIENT_ENABLEMENT_SELECTOR: "- {}" }).warnings, [
      "AMBIENT_ENABLEMENT_SELECTOR: entry 1 selects every pod of every namespace",
    ]);
  });

  it("enrolls by the label of upstream's chart where AMBIENT_ENABLED is all that is set", () => {
    const { config } = resolve({ AMBIENT_ENABLED: "true" });
    assert.equal(config.ambient.enabled, true);
    assert.deepEqual(config.ambient.selectors, DEFAULT_ENABLEMENT_SELECTORS);
    assert.deepEqual(resolve({ AMBIENT_ENABLEMENT_SELECTOR: "[]" }).config.ambient.selectors.entries, []);
  });

  it("refuses addresses that no probe can come from", () => {
    const v4 = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.1.2.3", "169.254.7.127/32", "::1"];
    const v6 = ["::", "::1", "ff02::1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.7.127", "169.254.7.127"];
    for (const address of v4)
      assert.throws(() => resolve({ HOST_PROBE_SNAT_IP: address }), /Cannot use HOST_PROBE_SNAT_IP: it is "/, address);
    for (const address of v6)
      assert.throws(
        () => resolve({ HOST_PROBE_SNAT_IPV6: address }),
        /Cannot use HOST_PROBE_SNAT_IPV6: it is "/,
        address,
      );
    const { probeSource } = resolve({ HOST_PROBE_SNAT_IP: "10.1.2.3", HOST_PROBE_SNAT_IPV6: "FD00:0::7" }).config
      .ambient;
    assert.deepEqual([formatIp(probeSource.v4), formatIp(probeSource.v6)], ["10.1.2.3", "fd00::7"]);
  });

  it("refuses owner groups that are both included and excluded", () => {
    const env = { ISTIO_OUTBOUND_OWNER_GROUPS: "1", ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "2" };
    assert.throws(
      () => resolve(env),
      (error: unknown) => error instanceof ConfigError && error.code === "contradiction",
    );
  });
});
