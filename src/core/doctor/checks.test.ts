// Each check on facts that are planted. Long because it is one table, in which no check may be missing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { parseMountInfo } from "../mount-info.ts";
import type { StatusDocument } from "../status/status-document.ts";
import { samplePod, sampleStatus } from "../status/testing.ts";
import type { CheckResult } from "./check.ts";
import { ALL_CHECKS, diagnose, exitCodeOf } from "./diagnosis.ts";
import type { NodeFacts } from "./node-facts.ts";
import { renderDiagnosis } from "./render-diagnosis.ts";
import { CONFLIST, confFile, folder, healthyFacts, MOUNTS, NOW_MS, settingsOf } from "./testing.ts";

type Case = readonly [result: CheckResult, finding: RegExp, facts: Partial<NodeFacts>];

const healthy = healthyFacts();
const AMBIENT = settingsOf({ AMBIENT_ENABLED: "true", AMBIENT_IPV6: "true" });
const ambient = healthyFacts({ settings: AMBIENT });
const NO_AGENT = { agent: { kind: "absent", reason: "nobody listens" } } as const;
const kernel = (changes: Partial<NodeFacts["kernel"]>) => ({ kernel: { ...healthy.kernel, ...changes } });
const rules = (changes: object) =>
  kernel({
    rules: {
      value: {
        toldBy: "trial",
        isIncomplete: false,
        message: "as nftables",
        missing: [],
        hasUserNamespaces: true,
        ...changes,
      },
    },
  });
const rights = (changes: Partial<NodeFacts["rights"]>) => ({ rights: { ...healthy.rights, ...changes } });
const api = (changes: Partial<NodeFacts["api"]>) => ({ api: { ...healthy.api, ...changes } });
const agent = (changes: Partial<StatusDocument>, pods = [samplePod()]) => ({
  agent: { kind: "answers", status: sampleStatus(pods, changes) } as const,
});
const watch = (changes: Partial<StatusDocument["watches"][number]>) => ({
  ...{ resource: "pods", isSynced: true, phase: "watching", failures: 0, lastFailure: null, objects: 1, ageSeconds: 1 },
  ...changes,
});
const without = (role: string) => ({
  folders: healthy.folders.map((one) => (one.role === role ? { ...one, found: undefined } : one)),
});
const replaced = (changed: ReturnType<typeof folder>) => ({
  folders: healthy.folders.map((one) => (one.role === changed.role ? changed : one)),
});
const mounts = (edit: (text: string) => string) => ({ mounts: { value: parseMountInfo(edit(MOUNTS)) } });
const full = { space: { value: { freeBytes: 4096, freeInodes: 100_000, totalInodes: 200_000 } } };

function files(entries: readonly (readonly [string, string])[], plugin: "current" | "stale" | "absent" = "current") {
  const path = "/host/etc/cni/net.d";
  const view = {
    pluginUnavailable: undefined,
    netDir: { path, files: entries.map(([name, text]) => confFile(name, text)), backups: new Map() },
    binDirs: [{ path: "/host/opt/cni/bin", plugin }],
  };
  return { cni: { ...healthy.cni, view: { value: view } } };
}
function decided(
  state: "installed" | "changing" | "waiting" | "blocked",
  reason: string,
  warnings: readonly string[] = [],
) {
  const decision = { state, reason, warnings, steps: [], confName: "10-calico.conflist", recheckMs: undefined };
  return { cni: { ...healthy.cni, decision: { value: decision } } };
}
const denied = (...verbs: readonly string[]) =>
  api({
    rights: healthy.api.rights.map((one) => ({
      ...one,
      isAllowed: { value: !verbs.includes(`${one.right.verb} ${one.right.resource}`) },
    })),
  });
const UNKNOWN = { unknown: "no answer within 3 s" };
const BARE = '{"cniVersion":"1.0.0","name":"k8s","plugins":[{"type":"calico"}]}';
const MULTUS = '{"cniVersion":"0.3.1","name":"multus","type":"multus-shim"}';
const probes = (verdict: StatusDocument["probePaths"][number]["verdict"]) =>
  agent({
    probePaths: [
      {
        family: "ipv4",
        verdict,
        source: "169.254.7.127",
        results: [],
        message: "lost",
        examples: [],
        lastTriedAt: null,
      },
    ],
  });

/** By id: what makes it what. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  "kernel.version": [
    ["warn", /older than 5\.2/, kernel({ release: { value: "4.19.0-28-amd64" } })],
    ["warn", /older/, kernel({ release: { value: "5.1.21" } })],
    ["ok", /5\.2/, kernel({ release: { value: "5.2.0" } })],
    ["unknown", /no version/, kernel({ release: { value: "gVisor" } })],
    ["unknown", /does not tell/, kernel({ release: UNKNOWN })],
  ],
  "kernel.rules": [
    ["fail", /as nftables \(tried/, rules({ isIncomplete: true })],
    ["warn", /as nftables/, rules({ missing: ["tproxy for IPv4"] })],
    ["unknown", /may load/, kernel({ rules: { unknown: "it may load kernel modules: xt_owner" } })],
  ],
  "kernel.user-namespaces": [
    ["warn", /hostUsers: false/, rules({ hasUserNamespaces: false })],
    ["unknown", /kernel\.rules/, kernel({ rules: UNKNOWN })],
  ],
  "kernel.ipv6": [
    ["not-applicable", /no IPv6/, kernel({ hasIpv6: false })],
    ["warn", /AMBIENT_IPV6 is false/, { settings: settingsOf({ AMBIENT_ENABLED: "true" }) }],
  ],
  "kernel.host-probes": [
    ["not-applicable", /only ambient/, {}],
    ["fail", /no ipset/, kernel({ hostProbes: { value: "there is no ipset" } })],
    ["unknown", /not tried/, kernel({ hostProbes: UNKNOWN })],
  ],
  "rights.capabilities": [
    ["fail", /NET_ADMIN \(writing rules\)/, rights({ status: { value: "CapEff:\t0000000000000000\n" } })],
    ["fail", /^missing: SYS_PTRACE/, rights({ status: { value: "CapEff:\t0000000000203002\n" } })],
    ["warn", /^missing: DAC_OVERRIDE/, rights({ status: { value: "CapEff:\t0000000000283000\n" } })],
    ["unknown", /does not tell/, rights({ status: UNKNOWN })],
  ],
  "rights.namespaces": [
    ["fail", /EPERM; seccomp is a filter/, rights({ netns: { unknown: "unshare failed with EPERM" } })],
  ],
  "rights.user-namespace": [
    ["fail", /of its own/, rights({ uidMap: { value: "0 100000 65536\n" } })],
    ["unknown", /cannot be read/, rights({ uidMap: UNKNOWN })],
  ],
  "rights.security-module": [
    [
      "fail",
      /container_t/,
      rights({ label: { value: "system_u:system_r:container_t:s0:c1,c2\0" }, isSelinuxEnforcing: true }),
    ],
    [
      "warn",
      /not enforcing/,
      rights({ label: { value: "system_u:system_r:container_t:s0" }, isSelinuxEnforcing: false }),
    ],
    ["ok", /spc_t/, rights({ label: { value: "system_u:system_r:spc_t:s0\n" } })],
    ["warn", /cri-containerd/, rights({ label: { value: "cri-containerd.apparmor.d (enforce)\n" } })],
    ["ok", /complain/, rights({ label: { value: "x (complain)\n" } })],
    ["ok", /no security module/, rights({ label: { value: "" } })],
    ["unknown", /cannot be read/, rights({ label: UNKNOWN })],
  ],
  "rights.limits": [
    ["warn", /1024 open files/, rights({ limits: { value: "Max open files  1024  1024  files\n" } })],
    ["ok", /any number/, rights({ limits: { value: "Max open files  1024  unlimited  files\n" } })],
    ["warn", /EMFILE/, rights({ inotify: { unknown: "EMFILE: too many open files" } })],
    ["unknown", /does not tell/, rights({ limits: UNKNOWN })],
  ],
  "rights.processes": [
    ["fail", /cannot be seen/, { processes: UNKNOWN }],
    ["warn", /none in a cgroup/, { processes: { value: { total: 9, inPods: 0, sandboxes: [] } } }],
    ["unknown", /none in a cgroup/, { ...NO_AGENT, processes: { value: { total: 9, inPods: 0, sandboxes: [] } } }],
    ["not-applicable", /nothing here/, { settings: settingsOf({ REPAIR_ENABLED: "false" }) }],
  ],
  "folders.conf": [
    ["fail", /not there: \/host\/etc\/cni\/net\.d/, without("conf")],
    ["fail", /no folder/, replaced(folder("conf", "/host/etc/cni/net.d", { isFolder: false }))],
    [
      "fail",
      /mounted read-only/,
      {
        ...replaced(folder("conf", "/host/etc/cni/net.d", { isWritable: { value: false } })),
        ...mounts((text) => text.replace("net.d rw", "net.d ro")),
      },
    ],
    ["unknown", /cannot be told/, replaced(folder("conf", "/host/etc/cni/net.d", { isWritable: UNKNOWN }))],
  ],
  "folders.bin": [
    ["fail", /not there/, without("bin")],
    ["fail", /noexec/, mounts((text) => text.replace("bin rw", "bin rw,noexec"))],
    ["fail", /not writable$/, replaced(folder("bin", "/host/opt/cni/bin", { isWritable: { value: false } }))],
  ],
  "folders.run": [
    ["fail", /not mounted from the host/, mounts((text) => text.replace(/^103 .*$/m, ""))],
    ["warn", /\/elsewhere/, mounts((text) => text.replace("/istio-cni /run", "/elsewhere /run"))],
    ["ok", /writable/, mounts((text) => text.replace("/istio-cni /run", "/var/run/istio-cni /run"))],
    ["fail", /not there/, without("run")],
    ["not-applicable", /no agent has run/, { ...without("run"), ...NO_AGENT, isContainer: false }],
  ],
  "folders.rename": [
    [
      "warn",
      /10-calico\.conflist/,
      mounts((text) => `${text}\n106 101 8:1 /x /host/etc/cni/net.d/10-calico.conflist rw - ext4 /dev/sda1 rw`),
    ],
    ["unknown", /cannot be read/, { mounts: UNKNOWN }],
    ["unknown", /no folder/, { folders: [] }],
  ],
  "folders.proc": [
    ["fail", /not there/, without("proc")],
    ["fail", /of type tmpfs/, mounts((text) => text.replace("- proc proc", "- tmpfs tmpfs"))],
    ["not-applicable", /nothing here/, { folders: [] }],
  ],
  "folders.ztunnel": [
    ["not-applicable", /only ambient/, {}],
    ["ok", /writable/, { folders: ambient.folders, settings: AMBIENT }],
    ["fail", /not mounted/, { folders: ambient.folders, ...mounts((text) => text.replace(/^105 .*$/m, "")) }],
  ],
  "folders.space": [
    ["fail", /0 MiB and 100000 inodes/, replaced(folder("bin", "/host/opt/cni/bin", full))],
    [
      "warn",
      /12 MiB/,
      replaced(
        folder("conf", "/host/etc/cni/net.d", {
          space: { value: { freeBytes: 12 * 2 ** 20, freeInodes: 0, totalInodes: 0 } },
        }),
      ),
    ],
    [
      "fail",
      /and 3 inodes/,
      replaced(
        folder("conf", "/host/etc/cni/net.d", {
          space: { value: { freeBytes: 2 ** 33, freeInodes: 3, totalInodes: 9 } },
        }),
      ),
    ],
    ["unknown", /cannot be told/, replaced(folder("run", "/run/istio-cni", { space: UNKNOWN }))],
  ],
  "cni.primary": [
    ["fail", /holds none/, files([])],
    ["fail", /05-cilium\.conflist: it is empty/, files([["05-cilium.conflist", ""]])],
    [
      "warn",
      /takes 10-calico\.conflist; .*05-bad/,
      files([
        ["05-bad.conflist", "{"],
        ["10-calico.conflist", CONFLIST],
      ]),
    ],
    [
      "warn",
      /the runtime takes 10-calico\.conflist first/,
      {
        ...files([
          ["10-calico.conflist", CONFLIST],
          ["20-x.conflist", BARE],
        ]),
        settings: settingsOf({ CNI_CONF_NAME: "20-x.conflist" }),
      },
    ],
    ["unknown", /no answer/, { cni: { ...healthy.cni, view: UNKNOWN } }],
  ],
  "cni.entry": [
    ["warn", /the agent is to change that/, decided("changing", "it is not as it should be")],
    ["fail", /no file yet/, decided("waiting", "no file yet")],
    ["warn", /other first/, decided("installed", "fine", ["other first"])],
    ["warn", /as this configuration wants/, { ...decided("changing", "the plugin is not ours"), ...NO_AGENT }],
    [
      "not-applicable",
      /nothing of istio-cni/,
      {
        cni: { ...files([["10-calico.conflist", BARE]]).cni, decision: decided("changing", "x").cni.decision },
        ...NO_AGENT,
      },
    ],
    ["unknown", /not known/, { cni: { ...healthy.cni, decision: UNKNOWN } }],
  ],
  "cni.plugin": [
    ["fail", /names istio-cni, and the plugin is not there/, files([["10-calico.conflist", CONFLIST]], "absent")],
    ["warn", /not the plugin of this build/, files([["10-calico.conflist", CONFLIST]], "stale")],
    ["not-applicable", /not installed/, files([["10-calico.conflist", BARE]], "absent")],
    [
      "warn",
      /current; but none of the network's own plugins is there \(calico\)/,
      { cni: { ...healthy.cni, absentPlugins: ["calico"] } },
    ],
    [
      "ok",
      /current$/,
      {
        cni: {
          ...files([["10-x.conflist", '{"name":"n","plugins":[{"type":"a"},{"type":"b"},{"type":"istio-cni"}]}']]).cni,
          absentPlugins: ["b"],
        },
      },
    ],
  ],
  "cni.agent": [
    ["fail", /no agent answers it/, NO_AGENT],
    ["not-applicable", /not in the runtime's chain/, { ...NO_AGENT, ...files([["10-calico.conflist", BARE]]) }],
  ],
  "cni.writers": [
    ["warn", /12 times/, agent({ install: { ...sampleStatus([]).install, rewrites: 12 } })],
    ["warn", /a warning/, agent({ install: { ...sampleStatus([]).install, warnings: ["a warning"] } })],
    ["warn", /Multus is the first/, files([["00-multus.conf", MULTUS]])],
    ["ok", /Cilium may write/, files([["05-cilium.conflist", BARE.replace("calico", "cilium-cni")]])],
  ],
  "cni.tokens": [
    ["warn", /ZZZ-istio/, { cni: { ...healthy.cni, strayTokens: ["/host/etc/cni/net.d/ZZZ-istio-cni-kubeconfig"] } }],
  ],
  "api.token": [
    [
      "fail",
      /ended at 2026-01-02T03:04:04/,
      api({ token: { value: { source: "the token", expiresAtMs: NOW_MS - 1000, notBeforeMs: undefined } } }),
    ],
    [
      "warn",
      /ends at/,
      api({ token: { value: { source: "the token", expiresAtMs: NOW_MS + 30_000, notBeforeMs: undefined } } }),
    ],
    [
      "fail",
      /not valid before/,
      api({ token: { value: { source: "the token", expiresAtMs: undefined, notBeforeMs: NOW_MS + 1000 } } }),
    ],
    ["fail", /Cannot read/, api({ token: { unknown: "Cannot read /x/token" } })],
    ["ok", /certificates/, api({ token: { value: undefined } })],
    ["unknown", /no server/, api({ endpoint: { unknown: "no server" }, token: { unknown: "no server" } })],
    [
      "ok",
      /nobody can write/,
      api({ token: { value: { source: "the token", expiresAtMs: 1e300, notBeforeMs: undefined } } }),
    ],
  ],
  "api.server": [
    ["fail", /does not answer: no route/, api({ answer: { unknown: "no route" } })],
    ["fail", /does not know us: 401/, api({ answer: { value: { dateMs: NOW_MS, refusal: "401" } } })],
    ["unknown", /api\.token/, api({ token: UNKNOWN })],
  ],
  "api.rights": [
    ["fail", /^not granted: watch pods \(no pod is captured\)$/, denied("watch pods")],
    [
      "warn",
      /^not granted: create events \(no Events.*; get daemonsets\.apps istio-system\/istio-cni-node/,
      denied("create events", "get daemonsets"),
    ],
    [
      "unknown",
      /list pods: no answer/,
      api({ rights: healthy.api.rights.map((one) => ({ ...one, isAllowed: UNKNOWN })) }),
    ],
    ["unknown", /could not be asked/, api({ answer: UNKNOWN })],
  ],
  "api.node": [
    ["fail", /is not node-1: it is elsewhere/, api({ node: { value: { isRight: false, why: "it is elsewhere" } } })],
    ["unknown", /may not be seen/, api({ node: { unknown: "it may not be seen" } })],
    ["warn", /NODE_NAME is not set/, { ...api({ node: UNKNOWN }), settings: settingsOf({ NODE_NAME: "" }) }],
    [
      "warn",
      /NODE_NAME is not set\) is not known, see api\.server$/,
      { ...api({ node: UNKNOWN, endpoint: UNKNOWN }), settings: settingsOf({ NODE_NAME: "" }) },
    ],
  ],
  "api.clock": [
    ["warn", /differ by 10 s/, api({ answer: { value: { dateMs: NOW_MS - 10_000, refusal: undefined } } })],
    ["fail", /differ by 120 s/, api({ answer: { value: { dateMs: NOW_MS + 120_000, refusal: undefined } } })],
    ["not-applicable", /no answer/, api({ answer: UNKNOWN })],
  ],
  "agent.config": [
    ["fail", /REPAIR_ENABLED/, { configProblems: ["Cannot use REPAIR_ENABLED"] }],
    ["warn", /no effect/, { configWarnings: ["X has no effect"] }],
  ],
  "agent.running": [
    ["not-applicable", /nobody listens/, NO_AGENT],
    ["fail", /hung up/, { agent: { kind: "unreachable", reason: "it hung up" } }],
    ["warn", /0\.0\.9/, { version: "0.0.9" }],
  ],
  "agent.ready": [
    ["fail", /ztunnel: none/, agent({ conditions: [{ name: "ztunnel", isReady: false, reason: "none" }] })],
    ["not-applicable", /no agent/, NO_AGENT],
    ["unknown", /does not answer/, { agent: { kind: "unreachable", reason: "x" } }],
  ],
  "agent.pods": [
    [
      "warn",
      /1 of 1 pods need attention: shop\/web-0 \(failed\)/,
      agent({}, [samplePod({ state: "failed", needsAttention: true })]),
    ],
  ],
  "agent.watch": [
    ["warn", /pods: no route/, agent({ watches: [watch({ phase: "x", failures: 2, lastFailure: "no route" })] })],
    ["warn", /pods: watching/, agent({ watches: [watch({ ageSeconds: 301 })] })],
  ],
  "agent.ports": [
    ["fail", /nobody listens on 15014/, { listening: { value: new Set([8000]) } }],
    ["unknown", /another network namespace/, { listening: { value: new Set() } }],
    ["unknown", /cannot be read/, { listening: UNKNOWN }],
    ["warn", /somebody listens on 8000/, { ...NO_AGENT, listening: { value: new Set([8000]) } }],
    ["ok", /are free/, { ...NO_AGENT, listening: { value: new Set() } }],
    [
      "ok",
      /^8000 are listened|^8000/,
      { settings: settingsOf({ MONITORING_PORT: "0" }), listening: { value: new Set([8000]) } },
    ],
  ],
  "ambient.ztunnel": [
    ["not-applicable", /only ambient/, {}],
    ["fail", /no ztunnel is connected/, { settings: AMBIENT }],
    [
      "ok",
      /3 pods/,
      { settings: AMBIENT, ...agent({ ztunnel: { isConnected: true, workloads: 3, connections: [] } }) },
    ],
  ],
  "ambient.probes": [
    ["fail", /do not reach pods/, probes("fails")],
    ["warn", /do not reach all/, probes("partly")],
    ["unknown", /cannot be tried/, probes("cannot-test")],
    ["ok", /reach pods from/, probes("works")],
  ],
  "node.runtimes": [
    ["warn", /gvisor and kata/, { processes: { value: { total: 9, inPods: 3, sandboxes: ["gvisor", "kata"] } } }],
    ["unknown", /cannot be seen/, { processes: UNKNOWN }],
  ],
};

describe("the checks of doctor", () => {
  it("are all good on a healthy node, in sidecar and in ambient mode", () => {
    const { status } = healthy.agent.kind === "answers" ? healthy.agent : assert.fail();
    const connected = { ...status, ztunnel: { isConnected: true, workloads: 1, connections: [] } };
    for (const facts of [healthy, { ...ambient, agent: { kind: "answers", status: connected } as const }]) {
      const bad = diagnose(facts).checks.filter(({ result }) => !["ok", "not-applicable"].includes(result));
      assert.deepEqual(bad, []);
      assert.equal(exitCodeOf(diagnose(facts)), 0);
    }
  });

  it("have cases here, each with one in which it is not good", () => {
    assert.deepEqual(
      Object.keys(CASES),
      ALL_CHECKS.map(({ id }) => id),
    );
    for (const [id, cases] of Object.entries(CASES)) {
      assert.ok(
        cases.some(([result]) => result === "fail" || result === "warn"),
        id,
      );
    }
  });

  for (const { id, decide } of ALL_CHECKS) {
    for (const [result, finding, changes] of CASES[id] ?? []) {
      it(`${id}: ${result}, ${finding.source}`, () => {
        const outcome = decide(healthyFacts(changes));
        assert.deepEqual(
          [outcome.result, finding.test(outcome.finding) ? finding : outcome.finding],
          [result, finding],
        );
        if (result === "fail" || result === "warn")
          assert.ok((outcome.nextStep ?? "").length > 10, "there is something to do");
        assert.doesNotMatch(outcome.finding, /undefined|\[object|\.$/);
      });
    }
  }

  it("are total: with nothing found out at all, nothing throws and nothing is called good that was not seen", () => {
    const blind = healthyFacts({
      kernel: { release: UNKNOWN, hasIpv6: false, rules: UNKNOWN, hostProbes: UNKNOWN },
      rights: {
        status: UNKNOWN,
        limits: UNKNOWN,
        uidMap: UNKNOWN,
        label: UNKNOWN,
        isSelinuxEnforcing: undefined,
        netns: UNKNOWN,
        inotify: UNKNOWN,
      },
      mounts: UNKNOWN,
      folders: [],
      cni: { view: UNKNOWN, decision: UNKNOWN, absentPlugins: [], strayTokens: [] },
      api: { endpoint: UNKNOWN, token: UNKNOWN, answer: UNKNOWN, rights: [], node: UNKNOWN },
      agent: { kind: "unreachable", reason: "x" },
      listening: UNKNOWN,
      processes: UNKNOWN,
    });
    const good = diagnose(blind)
      .checks.filter(({ result }) => result === "ok")
      .map(({ id }) => id);
    assert.deepEqual(good, ["cni.tokens", "agent.config"]);
  });
});

describe("diagnose() and exitCodeOf()", () => {
  it("take the worst result, and end with 2 for fail, 1 for warn and unknown, 0 for the rest", () => {
    const row = (result: CheckResult) => ({
      id: result,
      meaning: "",
      complaints: [],
      decide: () => ({ result, finding: "" }),
    });
    const ends = (...results: CheckResult[]) => exitCodeOf(diagnose(healthy, results.map(row)));
    assert.equal(ends("ok", "warn", "fail", "unknown"), 2);
    assert.equal(ends("ok", "warn", "unknown"), 1);
    assert.equal(ends("ok", "unknown"), 1);
    assert.equal(ends("ok", "not-applicable"), 0);
    assert.equal(ends(), 0);
  });

  it("bound what others have written", () => {
    const diagnosis = diagnose(healthyFacts({ configProblems: ["x".repeat(1_000_000)] }));
    assert.ok(JSON.stringify(diagnosis).length < 50_000);
  });
});

describe("renderDiagnosis()", () => {
  const diagnosis = diagnose(healthyFacts({ ...NO_AGENT, configProblems: ['Cannot use "\u001b[2J"'] }));

  it("says why a check matters and what to do where it is not good, and obeys no escape", () => {
    const text = renderDiagnosis(diagnosis, { hasColours: false });
    assert.match(text, /^Node node-1, sidecar mode, install-cni 0\.1\.0: 38 checks, 2 failed, 1 warn\n\n/);
    assert.match(
      text,
      /^FAIL +agent\.config +Cannot use "\\u\{1b\}\[2J"\n {11}An agent with a malformed .*\n {11}next: Correct /m,
    );
    assert.ok(!text.includes("\u001b"));
  });

  it("colours for a terminal only results and summary", () => {
    const text = renderDiagnosis(diagnosis, { hasColours: true });
    const coloured = text.split("\u001b[").flatMap((part) => /^[1-9]\d*m(.*)$/s.exec(part)?.[1] ?? []);
    assert.deepEqual([...new Set(coloured)], ["38 checks, 2 failed, 1 warn", "ok", "FAIL", "WARN"]);
  });
});

describe("docs/doctor.md", () => {
  it("has a row for each check", () => {
    const text = readFileSync(new URL("../../../docs/doctor.md", import.meta.url), "utf8");
    const rows = [...text.matchAll(/^\| `([a-z]+\.[a-z0-9-]+)` \|/gm)].map(([, id]) => id);
    assert.deepEqual(
      rows,
      ALL_CHECKS.map(({ id }) => id),
    );
    for (const { id, complaints } of ALL_CHECKS) {
      const row = text.split("\n").find((line) => line.startsWith(`| \`${id}\` |`)) ?? "";
      for (const complaint of complaints) assert.ok(row.includes(complaint), `${id} has to name ${complaint}`);
    }
  });
});
