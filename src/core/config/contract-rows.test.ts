// Every row of the reference's tables of upstream's flags and variables (contract 1.2 to 1.4): the name is known here, in both
// its forms, with upstream's default or one that is told, and a value that is given changes what the agent works with.
// Long because the table has one row for each option.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatCidr, formatIp } from "../address.ts";
import type { AgentConfig } from "./agent-config.ts";
import type { Option } from "./option.ts";
import { ALL_OPTIONS, type OptionEntry, type OptionId } from "./options.ts";
import { listValues, type ResolvedConfig, resolveConfig } from "./resolve-config.ts";
import { UPSTREAM_OPTIONS } from "./upstream-options.ts";

/** A row: names in the reference, a value to give, what the agent then works with, and with what it does by default. */
interface Row {
  readonly flag?: string;
  readonly env?: string;
  /** Upstream's default as the reference has it. */
  readonly fallback: string;
  readonly given: string;
  /** Absent: the row is accepted and has no effect here. */
  readonly effect?: {
    readonly of: (config: AgentConfig) => unknown;
    readonly given: unknown;
    readonly byDefault: unknown;
    /** What else has to be set for it to show. */
    readonly besides?: Readonly<Record<string, string>>;
  };
}

const KUBECONFIG_WANTED = { HOST_KUBECONFIG: "true" };

function both(flag: string, rest: Omit<Row, "flag" | "env">): Row {
  return { flag, env: flag.toUpperCase().replaceAll("-", "_"), ...rest };
}

function effect(
  of: (config: AgentConfig) => unknown,
  given: unknown,
  byDefault: unknown,
  besides: Readonly<Record<string, string>> = {},
): NonNullable<Row["effect"]> {
  return { of, given, byDefault, besides };
}

/** Contract 1.2: options with a flag. */
const WITH_FLAG: readonly Row[] = [
  both("cni-conf-name", {
    fallback: "",
    given: "10-a.conflist",
    effect: effect(({ install }) => install.cniConfName, "10-a.conflist", undefined),
  }),
  both("chained-cni-plugin", {
    fallback: "true",
    given: "false",
    effect: effect(({ install }) => install.chained, false, true),
  }),
  both("cni-network-config", {
    fallback: "",
    given: '{"a":1}',
    effect: effect(({ install }) => install.networkConfig, '{"a":1}', undefined),
  }),
  both("cni-network-config-file", {
    fallback: "",
    given: "/f.json",
    effect: effect(({ install }) => install.networkConfigFile, "/f.json", undefined),
  }),
  both("istio-owned-cni-config", {
    fallback: "false",
    given: "true",
    effect: effect(({ install }) => install.ownsConfig, true, false),
  }),
  both("istio-owned-cni-config-filename", {
    fallback: "",
    given: "01-o.conflist",
    effect: effect(({ install }) => install.ownedConfigName, "01-o.conflist", "02-istio-cni.conflist"),
  }),
  both("log-level", {
    fallback: "warn",
    given: "debug",
    effect: effect(({ log }) => log.levels, [{ scope: "all", level: "debug" }], [{ scope: "all", level: "info" }]),
  }),
  both("mounted-cni-net-dir", {
    fallback: "/host/etc/cni/net.d",
    given: "/m",
    effect: effect(({ install }) => install.netDir, ["/m"], ["/host/etc/cni/net.d"]),
  }),
  both("cni-agent-run-dir", {
    fallback: "/var/run/istio-cni",
    given: "/r",
    effect: effect(({ install }) => install.runDir, "/r", "/var/run/istio-cni"),
  }),
  both("kubeconfig-mode", {
    fallback: "0600",
    given: "0640",
    effect: effect(({ install }) => install.hostKubeconfig?.mode, 0o640, 0o600, KUBECONFIG_WANTED),
  }),
  both("cni-conf-group-read", {
    fallback: "false",
    given: "true",
    effect: effect(({ install }) => install.configMode, 0o640, 0o600),
  }),
  both("kube-ca-file", {
    fallback: "",
    given: "/ca",
    effect: effect(({ install }) => install.hostKubeconfig?.caFile, "/ca", undefined, KUBECONFIG_WANTED),
  }),
  both("skip-tls-verify", {
    fallback: "false",
    given: "true",
    effect: effect(({ install }) => install.hostKubeconfig?.isInsecure, true, false, KUBECONFIG_WANTED),
  }),
  both("monitoring-port", {
    fallback: "15014",
    given: "0",
    effect: effect(({ monitoring }) => monitoring.port, 0, 15_014),
  }),
  both("ztunnel-uds-address", {
    fallback: "/var/run/ztunnel/ztunnel.sock",
    given: "/z.sock",
    effect: effect(({ ambient }) => ambient.ztunnelSocketPath, "/z.sock", "/var/run/ztunnel/ztunnel.sock"),
  }),
  both("ambient-enabled", {
    fallback: "false",
    given: "true",
    effect: effect(({ ambient }) => ambient.enabled, true, false),
  }),
  both("enable-ambient-detection-retry", { fallback: "false", given: "true" }),
  both("repair-enabled", {
    fallback: "true",
    given: "false",
    effect: effect(({ repair }) => repair.enabled, false, true),
  }),
  both("repair-delete-pods", {
    fallback: "false",
    given: "true",
    effect: effect(({ repair }) => repair.deletePods, true, false),
  }),
  both("repair-label-pods", {
    fallback: "false",
    given: "true",
    effect: effect(({ repair }) => repair.labelPods, true, false),
  }),
  both("repair-broken-pod-label-key", {
    fallback: "cni.istio.io/uninitialized",
    given: "a/b",
    effect: effect(({ repair }) => repair.labelKey, "a/b", "cni.istio.io/uninitialized"),
  }),
  both("repair-broken-pod-label-value", {
    fallback: "true",
    given: "v",
    effect: effect(({ repair }) => repair.labelValue, "v", "true"),
  }),
  both("repair-node-name", {
    fallback: "",
    given: "n",
    effect: effect(({ repair }) => repair.nodeName, "n", undefined),
  }),
  both("repair-sidecar-annotation", {
    fallback: "sidecar.istio.io/status",
    given: "a/b",
    effect: effect(({ repair }) => repair.sidecarAnnotation, "a/b", "sidecar.istio.io/status"),
  }),
  both("repair-init-container-name", {
    fallback: "istio-validation",
    given: "c",
    effect: effect(({ repair }) => repair.initContainerName, "c", "istio-validation"),
  }),
  both("repair-init-container-termination-message", {
    fallback: "",
    given: " m ",
    effect: effect(({ repair }) => repair.terminationMessage, "m", ""),
  }),
  both("repair-init-container-exit-code", {
    fallback: "126",
    given: "0",
    effect: effect(({ repair }) => repair.exitCode, 0, 126),
  }),
  both("repair-label-selectors", {
    fallback: "",
    given: "a=b",
    effect: effect(({ repair }) => repair.labelSelectors, "a=b", ""),
  }),
  both("repair-field-selectors", {
    fallback: "",
    given: "status.phase!=Failed",
    effect: effect(({ repair }) => repair.fieldSelectors, "status.phase!=Failed", ""),
  }),
];

/** Contract 1.3: environment only. */
const VARIABLES: readonly Row[] = [
  {
    env: "EXCLUDE_NAMESPACES",
    fallback: "",
    given: "a, ,b",
    effect: effect(({ policy }) => policy.excludeNamespaces, ["a", "b"], []),
  },
  {
    env: "POD_NAMESPACE",
    fallback: "",
    given: "n",
    effect: effect(({ api }) => api.podNamespace, "n", undefined),
  },
  {
    env: "AMBIENT_ENABLEMENT_SELECTOR",
    fallback: "",
    given: "[]",
    effect: effect(({ ambient }) => ambient.selectors.entries.length, 0, 2),
  },
  {
    env: "AMBIENT_DNS_CAPTURE",
    fallback: "false",
    given: "true",
    effect: effect(({ ambient }) => ambient.dnsCapture, true, false),
  },
  { env: "AMBIENT_IPV6", fallback: "false", given: "true", effect: effect(({ ambient }) => ambient.ipv6, true, false) },
  {
    env: "AMBIENT_DISABLE_SAFE_UPGRADE",
    fallback: "false",
    given: "true",
    effect: effect(({ ambient }) => ambient.disableSafeUpgrade, true, false),
  },
  { env: "AMBIENT_RECONCILE_POD_RULES_ON_STARTUP", fallback: "false", given: "true" },
  {
    env: "NATIVE_NFTABLES",
    fallback: "false",
    given: "true",
    effect: effect(({ policy }) => policy.nativeNftables, true, false),
  },
  {
    env: "FORCE_IPTABLES_BINARY",
    fallback: "",
    given: "legacy",
    effect: effect(({ policy }) => policy.forceIptables, "legacy", undefined),
  },
  {
    env: "REPAIR_REPAIR_PODS",
    fallback: "false",
    given: "true",
    effect: effect(({ repair }) => repair.repairPods, true, false),
  },
  { env: "NODE_NAME", fallback: "", given: "n", effect: effect(({ api }) => api.nodeName, "n", undefined) },
  { env: "POD_NAME", fallback: "", given: "p", effect: effect(({ api }) => api.podName, "p", undefined) },
  { env: "REVISION", fallback: "", given: "r" },
  {
    env: "SYSTEM_NAMESPACE",
    fallback: "istio-system",
    given: "n",
    effect: effect(({ ambient }) => ambient.systemNamespace, "n", "istio-system"),
  },
  {
    env: "HOST_PROBE_SNAT_IP",
    fallback: "169.254.7.127",
    given: "10.0.0.1",
    effect: effect(({ ambient }) => formatIp(ambient.probeSource.v4), "10.0.0.1", "169.254.7.127"),
  },
  {
    env: "HOST_PROBE_SNAT_IPV6",
    fallback: "fd16:9254:7127:1337:ffff:ffff:ffff:ffff",
    given: "fd00::1",
    effect: effect(
      ({ ambient }) => formatIp(ambient.probeSource.v6),
      "fd00::1",
      "fd16:9254:7127:1337:ffff:ffff:ffff:ffff",
    ),
  },
  { env: "AMBIENT_USE_SCOPED_XTABLES_LOCKING", fallback: "true", given: "false" },
  {
    env: "AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE",
    fallback: "true",
    given: "false",
    effect: effect(({ ambient }) => ambient.enableAwsBranchEniProbe, false, true),
  },
  { env: "ALLOW_SWITCH_TO_HOST_NS", fallback: "false", given: "true" },
  {
    env: "KUBERNETES_SERVICE_HOST",
    fallback: "",
    given: "h",
    effect: effect(({ api }) => api.serviceHost, "h", undefined),
  },
  {
    env: "KUBERNETES_SERVICE_PORT",
    fallback: '""',
    given: "6443",
    effect: effect(({ api }) => api.servicePort, 6443, 443),
  },
  { env: "KUBERNETES_SERVICE_PROTOCOL", fallback: "https", given: "http" },
  { env: "KUBERNETES_NODE_NAME", fallback: "", given: "n", effect: effect(({ api }) => api.nodeName, "n", undefined) },
  { env: "KUBECONFIG", fallback: "", given: "/k", effect: effect(({ api }) => api.kubeconfigPath, "/k", undefined) },
  {
    env: "ISTIO_OUTBOUND_OWNER_GROUPS",
    fallback: "*",
    given: "1,2",
    effect: effect(({ sidecar }) => sidecar.outboundOwnerGroups, ["1", "2"], "*"),
  },
  {
    env: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
    fallback: "",
    given: "1",
    effect: effect(({ sidecar }) => sidecar.outboundOwnerGroupsExclude, ["1"], []),
  },
  {
    env: "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
    fallback: "127.0.0.1/32",
    given: "127.0.0.0/8",
    effect: effect(({ sidecar }) => formatCidr(sidecar.outboundIpv4LoopbackCidr), "127.0.0.0/8", "127.0.0.1/32"),
  },
  { env: "ENVOY_USER", fallback: "", given: "u" },
  { env: "DRY_RUN_FILE_PATH", fallback: "", given: "/d" },
  { env: "GOMEMLIMIT", fallback: "", given: "1" },
  { env: "GOMAXPROCS", fallback: "", given: "1" },
  { env: "METRICS_LOCALHOST_ACCESS_ONLY", fallback: "", given: "true" },
  { env: "COMPLIANCE_POLICY", fallback: "", given: "fips-140-2" },
  { env: "REPAIR_RUN_AS_DAEMON", fallback: "", given: "true" },
  { env: "CURRENT_AGENT_VERSION", fallback: "", given: "1.30.3" },
  {
    env: "ISTIO_OWNED_CNI_CONF_FILENAME",
    fallback: "",
    given: "01-o.conflist",
    effect: effect(({ install }) => install.ownedConfigName, "01-o.conflist", "02-istio-cni.conflist"),
  },
  {
    env: "CNI_NET_DIR",
    fallback: "/etc/cni/net.d",
    given: "/host/n",
    effect: effect(({ install }) => install.netDir, ["/host/n"], ["/host/etc/cni/net.d"]),
  },
  {
    env: "CNI_BIN_DIR",
    fallback: "/opt/cni/bin",
    given: "/host/b",
    effect: effect(({ install }) => install.binDirs, [["/host/b"]], [["/host/opt/cni/bin"]]),
  },
  { env: "KUBECFG_FILE_NAME", fallback: "ZZZ-istio-cni-kubeconfig", given: "k" },
];

/** Contract 1.4: flags that every command of upstream's has. */
const SHARED: readonly Row[] = [
  {
    flag: "log_output_level",
    fallback: "default:info,grpc:none",
    given: "all:error",
    effect: effect(({ log }) => log.levels, [{ scope: "all", level: "error" }], [{ scope: "all", level: "info" }]),
  },
  { flag: "log_as_json", fallback: "false", given: "true", effect: effect(({ log }) => log.asJson, true, false) },
  {
    flag: "log_target",
    fallback: "stdout",
    given: "stderr",
    effect: effect(({ log }) => log.targets, ["stderr"], ["stdout"]),
  },
  { flag: "log_caller", fallback: "", given: "all" },
  { flag: "log_stacktrace_level", fallback: "default:none", given: "all:error" },
  { flag: "ctrlz_port", fallback: "9876", given: "1" },
  { flag: "ctrlz_address", fallback: "localhost", given: "*" },
];

const ROWS = [...WITH_FLAG, ...VARIABLES, ...SHARED];

function entryOf({ flag, env }: Pick<Row, "flag" | "env">): OptionEntry {
  const found = ALL_OPTIONS.find(({ option }) => (flag === undefined ? option.env === env : option.flag === flag));
  assert.ok(found !== undefined, `${flag ?? env} is not known`);
  assert.equal(found.option.env, env);
  return found;
}

function waysToGive({ flag, env, given, effect: shows }: Row): readonly (readonly [string, ResolvedConfig])[] {
  const besides = shows?.besides ?? {};
  return [
    ...(env === undefined
      ? []
      : [["environment", resolveConfig({ flags: new Map(), env: { ...besides, [env]: given } })] as const]),
    ...(flag === undefined
      ? []
      : [["flag", resolveConfig({ flags: new Map([[flag, [given]]]), env: besides })] as const]),
  ];
}

/** What the reference would print for our default. */
function ownDefault({ fallback, fallbackText, type }: Option<unknown>): string {
  return type.render(fallback) || (fallbackText?.startsWith("/") ? fallbackText : "");
}

describe("each flag and variable of upstream's", () => {
  for (const row of ROWS) {
    const name = row.flag === undefined ? row.env : `--${row.flag}`;
    it(`${name} is read, ${row.effect === undefined ? "accepted without effect and said once" : "and changes what the agent works with"}`, () => {
      const entry = entryOf(row);
      assert.equal(entry.option.inert === undefined, row.effect !== undefined);
      for (const [source, resolved] of waysToGive(row)) {
        assert.equal(resolved.sources[entry.id], source);
        const listed = listValues(resolved)[ALL_OPTIONS.indexOf(entry)];
        assert.equal(listed?.source, source);
        assert.notEqual(listed?.value, resolveDefault(entry), "the given value shows");
        if (row.effect !== undefined) assert.deepEqual(row.effect.of(resolved.config), row.effect.given);
        const isSaid = resolved.notes.some((note) => note.startsWith("Accepted without effect: "));
        assert.equal(isSaid, row.effect === undefined);
      }
      if (row.effect === undefined) return;
      const without = resolveConfig({ flags: new Map(), env: row.effect.besides ?? {} });
      assert.deepEqual(row.effect.of(without.config), row.effect.byDefault);
    });

    it(`${name} has upstream's default, or the document tells of another one`, () => {
      const { id, option } = entryOf(row);
      const told = UPSTREAM_OPTIONS[id as OptionId];
      const ownText = ownDefault(option);
      if (ownText === row.fallback || told.fallback?.startsWith(row.fallback) === true) return;
      assert.ok(option.inert !== undefined || told.reader === "nobody", `${ownText} here, ${row.fallback} upstream`);
    });
  }

  it("is a row above, and every row above names another one", () => {
    const ids = ROWS.map((row) => entryOf(row).id);
    assert.equal(new Set(ids).size, ids.length);
    const others = ALL_OPTIONS.filter(({ id }) => !ids.includes(id)).map(({ id }) => id);
    assert.deepEqual(
      others.filter((id) => UPSTREAM_OPTIONS[id as OptionId].reader !== "ours"),
      [],
    );
  });
});

function resolveDefault({ id }: OptionEntry): string | undefined {
  return listValues(resolveConfig({ flags: new Map(), env: {} }))[ALL_OPTIONS.findIndex((entry) => entry.id === id)]
    ?.value;
}
