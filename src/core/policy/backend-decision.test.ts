import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_PROBE_SOURCE } from "../rules/ambient-numbers.ts";
import type { PodCapture } from "../rules/pod-capture.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../rules/sidecar-capture.ts";
import {
  type BackendFacts,
  type BackendSettings,
  decideBackend,
  describeTrial,
  dialectForPod,
  explainUnsupported,
  withTrial,
} from "./backend-decision.ts";
import type { MissingFeature } from "./backend-features.ts";

const NOTHING_SET: BackendSettings = { nativeNftables: false, forceIptables: undefined };
const FACTS: BackendFacts = {
  nfTables: { answers: true },
  missing: { "iptables-nft": [], nftables: [] },
  legacy: { kernel: true, missingPrograms: [] },
};
const ENOENT = 2;
const noOwner: MissingFeature = { feature: "owner", family: 4, errno: ENOENT };
const noTproxyV6: MissingFeature = { feature: "tproxy", family: 6, errno: ENOENT };
const noRedirect: MissingFeature = { feature: "redirect", family: 4, errno: ENOENT };
const noNfTables: BackendFacts = { ...FACTS, nfTables: { answers: false, why: "socket failed with EPROTONOSUPPORT" } };

const cases: [string, BackendFacts, BackendSettings, string, string][] = [
  ["everything there", FACTS, NOTHING_SET, "iptables-nft", "default"],
  ["legacy tables in use elsewhere on the node", FACTS, NOTHING_SET, "iptables-nft", "default"],
  ["native asked for", FACTS, { ...NOTHING_SET, nativeNftables: true }, "nftables", "native-nftables-set"],
  [
    "native wins over forced",
    FACTS,
    { nativeNftables: true, forceIptables: "legacy" },
    "nftables",
    "native-nftables-set",
  ],
  ["forced legacy", FACTS, { ...NOTHING_SET, forceIptables: "legacy" }, "iptables-legacy", "forced-legacy"],
  [
    "forced nft where it cannot work",
    noNfTables,
    { ...NOTHING_SET, forceIptables: "nft" },
    "iptables-nft",
    "forced-nft",
  ],
  [
    "a kernel without the xtables extensions",
    { ...FACTS, missing: { "iptables-nft": [noOwner], nftables: [] } },
    NOTHING_SET,
    "nftables",
    "iptables-nft-incomplete",
  ],
  ["a kernel without nf_tables", noNfTables, NOTHING_SET, "iptables-legacy", "nf-tables-incomplete"],
  [
    "nf_tables without nat",
    { ...FACTS, missing: { "iptables-nft": [noRedirect], nftables: [noRedirect] } },
    NOTHING_SET,
    "iptables-legacy",
    "nf-tables-incomplete",
  ],
  [
    "a lack that no ordinary pod notices",
    { ...FACTS, missing: { "iptables-nft": [noTproxyV6], nftables: [] } },
    NOTHING_SET,
    "iptables-nft",
    "default",
  ],
  [
    "nothing at all",
    { ...noNfTables, legacy: { kernel: false, missingPrograms: [] } },
    NOTHING_SET,
    "iptables-nft",
    "nothing-complete",
  ],
];

for (const [name, facts, settings, dialect, reason] of cases) {
  test(`decideBackend() chooses ${dialect} for ${name}`, () => {
    const decision = decideBackend(facts, settings);
    assert.deepEqual([decision.dialect, decision.reason], [dialect, reason]);
    assert.match(decision.message, new RegExp(`^Writing rules as ${dialect}: `));
  });
}

const AMBIENT: PodCapture = {
  mode: "ambient",
  families: { v4: true, v6: false },
  captureInbound: true,
  captureDns: false,
  virtualInterfaces: [],
  probeSource: DEFAULT_PROBE_SOURCE,
};
const BOTH_MODES = [DEFAULT_SIDECAR_CAPTURE, AMBIENT];

test("in ambient mode a dialect has to have what ambient pods need, too", () => {
  for (const feature of ["mark", "connmark"] as const) {
    const noMarks: MissingFeature = { feature, family: 4, errno: ENOENT };
    const facts: BackendFacts = { ...FACTS, missing: { "iptables-nft": [noMarks], nftables: [] } };
    assert.equal(decideBackend(facts, NOTHING_SET).dialect, "iptables-nft");
    assert.equal(decideBackend(facts, NOTHING_SET, BOTH_MODES).dialect, "nftables");
    const neither: BackendFacts = { ...facts, missing: { "iptables-nft": [noMarks], nftables: [noMarks] } };
    assert.equal(decideBackend(neither, NOTHING_SET, BOTH_MODES).dialect, "iptables-legacy");
    const alone = { ...neither, legacy: { kernel: false, missingPrograms: [] } };
    const decision = decideBackend(alone, NOTHING_SET, BOTH_MODES);
    assert.deepEqual([decision.dialect, decision.reason], ["iptables-nft", "nothing-complete"]);
    assert.match(decision.message, /those that need what is missing are refused; missing on this node: (conn)?mark/);
    assert.equal(explainUnsupported(decision, DEFAULT_SIDECAR_CAPTURE), undefined);
    assert.notEqual(explainUnsupported(decision, AMBIENT), undefined);
  }
  const noZones: MissingFeature = { feature: "conntrack zone", family: 4, errno: ENOENT };
  const facts: BackendFacts = { ...FACTS, missing: { "iptables-nft": [noZones], nftables: [] } };
  assert.equal(decideBackend(facts, NOTHING_SET, BOTH_MODES).dialect, "iptables-nft", "only pods with DNS need them");
  const withDns = [DEFAULT_SIDECAR_CAPTURE, { ...AMBIENT, captureDns: true }];
  assert.equal(decideBackend(facts, NOTHING_SET, withDns).dialect, "nftables");
  const noOwnerAtAll: BackendFacts = { ...FACTS, missing: { "iptables-nft": [noOwner], nftables: [noOwner] } };
  assert.equal(decideBackend(noOwnerAtAll, NOTHING_SET, BOTH_MODES).userNamespaces, undefined);
});

test("what a trial found is told with the decision and does not change it", () => {
  const decision = decideBackend(FACTS, NOTHING_SET);
  assert.equal(withTrial(decision, []), decision);
  const problem = { mode: "ambient", families: [4, 6], why: "Cannot write" } as const;
  const told = withTrial(decision, [problem, { ...problem, mode: "REDIRECT", families: [6] }]);
  assert.equal(
    told.message,
    `${decision.message}; a trial of ambient mode for IPv4 and IPv6 failed: Cannot write; ` +
      "a trial of sidecar mode with REDIRECT for IPv6 failed: Cannot write",
  );
  assert.deepEqual({ ...told, message: "" }, { ...decision, message: "" });
  assert.match(describeTrial(problem), /^a trial of ambient mode/);
});

test("the decision's message says what is missing, by feature, family, module and errno", () => {
  const facts = { ...FACTS, missing: { "iptables-nft": [noTproxyV6], nftables: [] } };
  assert.match(
    decideBackend(facts, NOTHING_SET).message,
    /missing on this node: tproxy for IPv6 \(needed for interception mode TPROXY; kernel modules nft_compat, xt_TPROXY; errno 2\)$/,
  );
  const forced = decideBackend(noNfTables, { ...NOTHING_SET, forceIptables: "nft" });
  assert.match(forced.message, /nf_tables does not answer: socket failed with EPROTONOSUPPORT$/);
  const programs = { kernel: false, missingPrograms: ["ip6tables-legacy-save"] };
  const legacy = decideBackend({ ...FACTS, legacy: programs }, { ...NOTHING_SET, forceIptables: "legacy" });
  assert.match(legacy.message, /programs not found: ip6tables-legacy-save$/);
  const blind = { kernel: true, missingPrograms: ["iptables-legacy-save"] };
  assert.match(
    decideBackend({ ...FACTS, legacy: blind }, NOTHING_SET).message,
    /what others left in iptables-legacy is not seen, programs not found: iptables-legacy-save$/,
  );
});

test("explainUnsupported() refuses only the pod that needs what is missing, in its families", () => {
  const lacks = { dialect: "iptables-nft", missing: [noTproxyV6] } as const;
  const dual = { v4: true, v6: true };
  const explain = (capture: Partial<SidecarCapture>) =>
    explainUnsupported(lacks, { ...DEFAULT_SIDECAR_CAPTURE, ...capture });
  assert.equal(explain({ families: dual }), undefined);
  assert.equal(explain({ mode: "TPROXY" }), undefined);
  assert.match(explain({ mode: "TPROXY", families: dual }) ?? "", /^this node's kernel lacks tproxy for IPv6 /);
  const native = { dialect: "nftables", missing: [noTproxyV6] } as const;
  const both = { ...DEFAULT_SIDECAR_CAPTURE, mode: "TPROXY", families: dual } as const;
  assert.notEqual(explainUnsupported(native, both), undefined);
  assert.equal(explainUnsupported(native, { ...both, families: { v4: true, v6: false } }), undefined);
});

test("dialectForPod() takes native nftables for a pod with its own user namespace, and nothing else will do", () => {
  const decision = decideBackend(FACTS, NOTHING_SET);
  assert.equal(dialectForPod(decision, {}, "REDIRECT")?.dialect, "iptables-nft");
  assert.equal(dialectForPod(decision, { hostUsers: true }, "REDIRECT")?.dialect, "iptables-nft");
  assert.equal(dialectForPod(decision, { hostUsers: false }, "TPROXY")?.dialect, "nftables");
  assert.equal(
    dialectForPod(decision, { hostUsers: false }, "ambient")?.dialect,
    "iptables-nft",
    "no owner in its rules",
  );
  assert.equal(dialectForPod(decideBackend(noNfTables, NOTHING_SET), { hostUsers: false }, "REDIRECT"), undefined);
});
