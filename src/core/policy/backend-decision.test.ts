import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../rules/sidecar-capture.ts";
import {
  type BackendFacts,
  type BackendSettings,
  decideBackend,
  dialectForPod,
  explainUnsupported,
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
