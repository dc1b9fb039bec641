// Runs the ambient case table for one dialect: a pod of each kind is taken from every case to every other, in place, and in
// each of them golden text, tracer, tools and real connections have to agree with the landings written by hand.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FAMILIES, type Family } from "../../src/core/address.ts";
import { decideAmbientFamilies } from "../../src/core/policy/ambient-families.ts";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { AmbientCapture } from "../../src/core/rules/ambient-capture.ts";
import { ambientInetRules, ambientRules } from "../../src/core/rules/ambient-pod.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderNft } from "../../src/core/rules/render-nft.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { backendOf } from "./backend-fixture.ts";
import {
  AMBIENT_POD_CASES,
  AMBIENT_TWINS,
  type AmbientCase,
  goldenName,
  planOfCase,
} from "./case-table-ambient-cases.ts";
import {
  AMBIENT_APPLICATION_PORTS,
  AMBIENT_PROBES,
  type AmbientProbe,
  landingOf,
} from "./case-table-ambient-probes.ts";
import { familyText } from "./case-table-golden.ts";
import { assertToolsPrint } from "./case-table-listing.ts";
import { LOOPBACK_PLACES, PLACES, type Place, USERS } from "./case-table-probes.ts";
import { aim, answeredLanding, assertLandings, type Shot, tracedLanding } from "./case-table-shots.ts";
import { createStage, type Stage } from "./case-table-stage.ts";

/** The pods: which addresses they have, `AMBIENT_IPV6`, and which families are captured then (DESIGN 2.1, 3.2). */
const AMBIENT_PODS = {
  "v4 pod": { families: [4], ipv6: true, captured: [4] },
  "v6 pod": { families: [6], ipv6: true, captured: [4, 6] },
  "dual pod": { families: [4, 6], ipv6: true, captured: [4, 6] },
  "dual pod without AMBIENT_IPV6": { families: [4, 6], ipv6: false, captured: [4] },
} as const satisfies Record<string, { families: readonly Family[]; ipv6: boolean; captured: readonly Family[] }>;

type PodKind = keyof typeof AMBIENT_PODS;
type Outcome = {
  readonly testCase: AmbientCase;
  readonly capture: AmbientCapture | undefined;
  readonly rulesets: readonly Ruleset[];
};
/** A pod on its stage, and the dialect in which it is captured. */
export type Scene = {
  readonly dialect: BackendDialect;
  readonly kind: PodKind;
  readonly stage: Stage;
  readonly nextPort: () => number;
};

const GOLDEN = new URL("../../src/core/rules/testdata/ambient/", import.meta.url);

/** One test for each kind of pod, and one that finds no step missing. */
export function testAmbientCaseTable(dialect: BackendDialect): void {
  const done = new Set<string>();
  for (const kind of Object.keys(AMBIENT_PODS) as PodKind[]) {
    test(`${dialect}, ${kind}: from every case to every other, every packet lands where it should`, async () => {
      const { families } = AMBIENT_PODS[kind];
      await using stage = await createStage(families, AMBIENT_APPLICATION_PORTS);
      await using _ztunnel = await stage.startZtunnel();
      let port = 16_000;
      const scene: Scene = { dialect, kind, stage, nextPort: () => port++ };
      const outcomes = AMBIENT_POD_CASES.map((testCase) => outcomeOf(scene, testCase));
      for (const outcome of outcomes) checkText(scene, outcome);
      let here: Outcome | undefined;
      for (const next of everyStep(outcomes)) {
        if (here === undefined) assert.equal(next.capture, undefined, "a pod begins outside the mesh");
        else await step(scene, here, next);
        await checkPod(scene, next, `${here?.testCase.name ?? "at first"} → ${next.testCase.name}`);
        if (here !== undefined) done.add([kind, here.testCase.name, next.testCase.name].join(" / "));
        here = next;
      }
      for (const { of, twin } of AMBIENT_TWINS) {
        const original = outcomes.find(({ testCase }) => testCase.name === of) ?? assert.fail(of);
        const same = outcomeOf(scene, twin);
        assert.deepEqual(same.capture, original.capture, twin.name);
        if (here !== undefined) await step(scene, here, original);
        assert.equal(await applyOrRemove(scene, original, same), false, `${twin.name}: nothing is to be done`);
        here = original;
      }
    });
  }

  test(`${dialect}: no pod and no step from case to case is missing`, () => {
    const names = [
      ...["out of the mesh", "default", "bypass", "dns", "interfaces"],
      ...["bypass-dns", "bypass-interfaces", "all", "all-bypass"],
    ];
    const kinds = ["v4 pod", "v6 pod", "dual pod", "dual pod without AMBIENT_IPV6"];
    const wanted = kinds.flatMap((kind) =>
      names.flatMap((from) => names.filter((to) => to !== from).map((to) => [kind, from, to].join(" / "))),
    );
    assert.deepEqual([...done].toSorted(), wanted.toSorted());
  });
}

/** A walk that makes every step between two of them. */
function everyStep<T>(all: readonly T[]): T[] {
  return all.flatMap((one, index) => [one, ...all.slice(index + 1).flatMap((other) => [other, one])]);
}

/** What the agent decides for a case, and the rules it comes to. */
export function outcomeOf({ dialect, kind, stage }: Scene, testCase: AmbientCase): Outcome {
  const plan = planOfCase(testCase);
  assert.equal(plan === undefined, testCase.effects === undefined, testCase.name);
  if (plan === undefined) return { testCase, capture: undefined, rulesets: [] };
  const { ipv6, captured } = AMBIENT_PODS[kind];
  const families = decideAmbientFamilies(backendOf(dialect).addresses(stage.pod.fd), { ipv6, strict: false });
  assert.ok(families.kind === "families");
  const { v4, v6 } = families;
  assert.deepEqual(
    { v4, v6 },
    { v4: (captured as readonly Family[]).includes(4), v6: (captured as readonly Family[]).includes(6) },
  );
  const capture: AmbientCapture = { ...plan, families: { v4, v6 } };
  return { testCase, capture, rulesets: dialect === "nftables" ? ambientInetRules(capture) : ambientRules(capture) };
}

/** Golden text and tracer: what needs no kernel. */
function checkText({ dialect, kind, nextPort }: Scene, { testCase, capture, rulesets }: Outcome): void {
  if (capture !== undefined) {
    const suffix = dialect !== "nftables" ? ".iptables" : capture.families.v6 ? ".nft" : ".v4.nft";
    const golden = readFileSync(new URL(`${goldenName(testCase)}${suffix}`, GOLDEN), "utf8");
    if (dialect === "nftables") {
      assert.equal(rulesets.map((each) => renderNft(each, { withIntent: true })).join(""), golden, testCase.name);
    } else
      for (const each of rulesets) assert.ok(golden.includes(familyText(each)), `${testCase.name} IPv${each.family}`);
  }
  const shots = aimAll(kind, testCase, nextPort);
  assertLandings(shots, (shot) => tracedLanding(rulesets, shot), `${testCase.name}: the tracer`);
}

async function step(scene: Scene, from: Outcome, to: Outcome): Promise<void> {
  const isSame = from.testCase.name === to.testCase.name;
  assert.equal(await applyOrRemove(scene, from, to), !isSame, `${from.testCase.name} → ${to.testCase.name}`);
}

/** What the agent does when labels or annotations change; true: something was written. */
async function applyOrRemove({ dialect, stage }: Scene, from: Outcome, to: Outcome): Promise<boolean> {
  const backend = backendOf(dialect);
  const formerly = from.capture;
  if (to.capture !== undefined) {
    const pod = formerly === undefined ? {} : { formerly };
    const applied = await backend.apply(stage.pod.fd, to.capture, pod);
    assert.deepEqual([applied.dialect, applied.replaced], [dialect, []]);
    return applied.changed;
  }
  return formerly === undefined ? false : backend.remove(stage.pod.fd, formerly);
}

/** What stands in the pod, and real connections. @throws {AssertionError} */
export async function checkPod(
  { dialect, kind, stage, nextPort }: Scene,
  outcome: Outcome,
  what: string,
): Promise<void> {
  const { testCase, capture, rulesets } = outcome;
  const { pod } = stage;
  if (capture !== undefined) assert.deepEqual(await backendOf(dialect).drift(pod.fd, capture), [], what);
  assertToolsPrint(pod, dialect, rulesets);
  const captured = capture === undefined ? [] : AMBIENT_PODS[kind].captured;
  assert.deepEqual(routingOf(pod), captured.map(wantedRouting), what);
  const shots = aimAll(kind, testCase, nextPort);
  const answers = await stage.ask(shots.map(({ question }) => question));
  assertLandings(
    shots,
    ({ question }, index) => answeredLanding(question, answers[index] ?? ""),
    `${what}: the kernel`,
  );
}

/** Policy rules by mark and what the table of the way back holds, per family that has any. */
function routingOf(netns: TestNetns): string[] {
  return FAMILIES.flatMap((family) => {
    const lines = (...argv: string[]) =>
      netns
        .exec(["ip", `-${family}`, ...argv])
        .stdout.split("\n")
        .map((line) => line.trim().replace(/\s+/g, " "));
    const rules = lines("rule").filter((line) => line.includes("fwmark"));
    const routes = lines("route", "show", "table", "100").filter((line) => line !== "");
    const isThere = rules.length > 0 || routes.length > 0;
    return isThere
      ? [`IPv${family}: ${[...rules, ...routes.map((line) => line.split(" ").slice(0, 4).join(" "))].join("; ")}`]
      : [];
  });
}

function wantedRouting(family: Family): string {
  return `IPv${family}: 32764: from all fwmark 0x111/0xfff lookup 100; local default dev lo`;
}

function aimAll(kind: PodKind, testCase: AmbientCase, nextPort: () => number): readonly Shot[] {
  return FAMILIES.flatMap((family) => {
    const isInMesh = testCase.effects !== undefined;
    const isCaptured = isInMesh && (AMBIENT_PODS[kind].captured as readonly Family[]).includes(family);
    let sourcePort = nextPort();
    return [...AMBIENT_PROBES].flatMap(([name, probe]) => {
      if (impossible(kind, probe, family, isCaptured)) return [];
      // No two connections of a stage are alike, but where the point is that they are.
      if (probe.sameSourcePort !== true) sourcePort = nextPort();
      const user = probe.as === "proxy" ? assert.fail("an ambient pod has no proxy") : USERS[probe.as];
      const expected = isCaptured ? landingOf(probe.lands, testCase.effects ?? []) : "direct";
      return { name: `IPv${family} ${name}`, ...aim(probe, user, family, sourcePort), expected };
    });
  });
}

/** Whether a probe cannot be sent: there is no such address, or nothing would bring its answer back. */
function impossible(kind: PodKind, probe: AmbientProbe, family: Family, isCaptured: boolean): boolean {
  const places: Place[] = [probe.to, ...(probe.source === undefined ? [] : [probe.source])];
  const isWithinPod = probe.from === "pod" && places.every((place) => LOOPBACK_PLACES.includes(place));
  const hasFamily = (AMBIENT_PODS[kind].families as readonly Family[]).includes(family);
  const isUnderAnothersAddress = probe.from === "pod" && probe.source !== undefined;
  return (
    places.some((place) => PLACES[place][family] === undefined) ||
    (!hasFamily && !isWithinPod) ||
    (isUnderAnothersAddress && !isCaptured)
  );
}
