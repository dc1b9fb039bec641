// Runs the case table: each combination of dialect, families, mode and case is checked by golden text, by the packet tracer
// and by real connections, all against the landings written in case-table-probes.ts and case-table-cases.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FAMILIES, type Family } from "../../src/core/address.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import { decideFamilies } from "../../src/core/policy/capture-families.ts";
import { CAPTURE_ANNOTATIONS } from "../../src/core/policy/sidecar-annotations.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { sidecarInetRules, sidecarRules } from "../../src/core/rules/sidecar.ts";
import type { SidecarCapture } from "../../src/core/rules/sidecar-capture.ts";
import { backendOf, DIALECTS } from "./backend-fixture.ts";
import { CASES, type Case, expectedLanding, planOf, proxyUser } from "./case-table-cases.ts";
import { assertGolden, caseText, familyText } from "./case-table-golden.ts";
import { assertToolsPrint } from "./case-table-listing.ts";
import type { Mode, Place, Probe } from "./case-table-probes.ts";
import { LOOPBACK_PLACES, PLACES, PROBES, USERS } from "./case-table-probes.ts";
import { aim, answeredLanding, assertLandings, type Shot, tracedLanding } from "./case-table-shots.ts";
import { createStage, type Stage } from "./case-table-stage.ts";

const POD_FAMILIES = { v4: [4], v6: [6], dual: [4, 6] } as const satisfies Record<string, readonly Family[]>;
type PodFamilies = keyof typeof POD_FAMILIES;

/** What a combination is. */
interface Combination {
  readonly dialect: BackendDialect;
  readonly podFamilies: PodFamilies;
  readonly mode: Mode;
  readonly testCase: Case;
}

/** One test for each dialect and family of a mode, one below it for each case, and one that finds none missing. */
export function testCaseTable(mode: Mode): void {
  const done: string[] = [];
  for (const dialect of DIALECTS) {
    for (const podFamilies of Object.keys(POD_FAMILIES) as PodFamilies[]) {
      test(`${mode} by ${dialect}, ${podFamilies} pod: every packet of every case lands where it should`, async (t) => {
        await using stage = await createStage(POD_FAMILIES[podFamilies]);
        const nextPort = countUp(16_000);
        for (const testCase of CASES) {
          await t.test(testCase.name, async () => {
            await checkCombination(stage, { dialect, podFamilies, mode, testCase }, nextPort);
            done.push([dialect, podFamilies, mode, testCase.name].join(" / "));
          });
        }
      });
    }
  }
  test(`${mode}: no combination of the case table is missing`, () => {
    const wanted = ["iptables-nft", "iptables-legacy", "nftables"].flatMap((dialect) =>
      ["v4", "v6", "dual"].flatMap((families) => CASES.map(({ name }) => [dialect, families, mode, name].join(" / "))),
    );
    assert.deepEqual(done.toSorted(), wanted.toSorted());
  });
}

async function checkCombination(stage: Stage, combination: Combination, nextPort: () => number): Promise<void> {
  const { dialect, podFamilies, mode, testCase } = combination;
  const backend = backendOf(dialect);
  const { dualStack, ...plan } = planOf(testCase, mode, podFamilies === "dual");
  const families = decideFamilies(backend.addresses(stage.pod.fd), {
    dialect: dialect === "nftables" ? "nftables" : "iptables",
    dualStack,
    strict: false,
  });
  assert.ok(families.kind === "families");
  const captured = capturedFamilies(combination);
  assert.deepEqual({ v4: families.v4, v6: families.v6 }, { v4: captured.includes(4), v6: captured.includes(6) });
  const capture: SidecarCapture = { ...plan, families: { v4: families.v4, v6: families.v6 } };
  const rulesets = dialect === "nftables" ? [sidecarInetRules(capture)] : sidecarRules(capture);
  assertGolden(testCase);
  assertRulesAreOfGolden(combination, rulesets);

  const shots = FAMILIES.flatMap((family) => aimAll(combination, family, captured, nextPort));
  assertLandings(shots, (shot) => tracedLanding(rulesets, shot), "the tracer");

  try {
    const applied = await backend.apply(stage.pod.fd, capture);
    assert.deepEqual(applied, { dialect, changed: true, replaced: [], repaired: [] });
    assert.deepEqual(await backend.drift(stage.pod.fd, capture), []);
    assertToolsPrint(stage.pod, dialect, rulesets);
    await using _proxy = await stage.startProxy(proxyUser(testCase, mode), mode);
    const answers = await stage.ask(shots.map(({ question }) => question));
    assertLandings(shots, (shot, index) => answeredLanding(shot.question, answers[index] ?? ""), "the kernel");
  } catch (error) {
    await backend.remove(stage.pod.fd, capture); // the next case is to have a pod without rules
    throw error;
  }
  assert.equal(await backend.remove(stage.pod.fd, capture), true);
}

/** Contract 5.3 and 5.5: IPv4 always, IPv6 by the first address or ISTIO_DUAL_STACK, by nftables always. */
function capturedFamilies({ dialect, podFamilies, testCase }: Combination): readonly Family[] {
  if (dialect === "nftables" || podFamilies === "v6") return [4, 6];
  return podFamilies === "dual" && testCase.turnsDualStackRound === undefined ? [4, 6] : [4];
}

function assertRulesAreOfGolden({ mode, dialect, testCase }: Combination, rulesets: readonly Ruleset[]): void {
  if (dialect === "nftables") return; // one text for all families, and the golden file is of it
  const text = caseText(testCase, mode, "iptables");
  for (const ruleset of rulesets) assert.ok(text.includes(familyText(ruleset)), `IPv${ruleset.family} is of the text`);
}

/** Why a probe cannot be sent in a combination; undefined: it can. */
function impossible(
  probe: Probe,
  { podFamilies, mode, testCase }: Combination,
  family: Family,
  captured: readonly Family[],
): string | undefined {
  const places: Place[] = [probe.to, ...(probe.source === undefined ? [] : [probe.source])];
  const isWithinPod = probe.from === "pod" && places.every((place) => LOOPBACK_PLACES.includes(place));
  const hasFamily = (POD_FAMILIES[podFamilies] as readonly Family[]).includes(family);
  if (places.some((place) => PLACES[place][family] === undefined)) return "IPv6 has one loopback address only";
  if (!hasFamily && !isWithinPod) return "the pod has no address of this family";
  if (family === 6 && places.includes("passthrough") && !captured.includes(6)) return "::6 comes with IPv6 capture";
  if (probe.mark !== undefined && mode === "REDIRECT") return "only TPROXY routes by mark";
  if (probe.mark !== undefined && !captured.includes(family)) return "there is no mark routing in this family";
  if (probe.mark !== undefined && testCase.pod.annotations?.[INCLUDE_INBOUND] === "")
    return "without inbound capture there is no mark routing (5.6)";
  if (probe.mark !== undefined && testCase.pod.annotations?.[INCLUDE_OUTBOUND]?.startsWith("127."))
    return "without row 17, row 19 turns the connection back to the proxy's loopback socket, whose answer has no route";
  return undefined;
}

const { includeInboundPorts: INCLUDE_INBOUND, includeOutboundIpRanges: INCLUDE_OUTBOUND } = CAPTURE_ANNOTATIONS;

function aimAll(
  combination: Combination,
  family: Family,
  captured: readonly Family[],
  nextPort: () => number,
): readonly Shot[] {
  let sourcePort = nextPort();
  return [...PROBES].flatMap(([name, probe]) => {
    if (impossible(probe, combination, family, captured) !== undefined) return [];
    // No two connections of a stage are alike, so that what conntrack remembers of one says nothing about another.
    // An invalid packet is followed by a valid one from the next port.
    if (probe.sameSourcePort !== true) sourcePort = nextPort();
    if (probe.protocol === "invalid") nextPort();
    const user =
      probe.as === "proxy" ? { uid: 0, gid: proxyUser(combination.testCase, combination.mode).gid } : USERS[probe.as];
    const isCaptured = captured.includes(family);
    return {
      name: `IPv${family} ${name}`,
      ...aim(probe, user, family, sourcePort),
      expected: expectedLanding(combination.testCase, name, combination.mode, family, isCaptured),
    };
  });
}

function countUp(from: number): () => number {
  let next = from;
  return () => next++;
}
