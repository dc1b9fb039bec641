// A node that writes another dialect than before: every ambient pod goes over in place, and nothing of the old one is left
// (D26).
import assert from "node:assert/strict";
import { test } from "node:test";
import { backendOf, DIALECTS, rulesIn } from "./backend-fixture.ts";
import { AMBIENT_POD_CASES } from "./case-table-ambient-cases.ts";
import { AMBIENT_APPLICATION_PORTS } from "./case-table-ambient-probes.ts";
import { checkPod, outcomeOf, type Scene } from "./case-table-ambient-run.ts";
import { createStage } from "./case-table-stage.ts";

const CHANGES = DIALECTS.flatMap((from) => DIALECTS.filter((to) => to !== from).map((to) => [from, to] as const));

for (const [from, to] of CHANGES) {
  test(`from ${from} to ${to}: every ambient pod is captured as before, and holds nothing of the other dialect`, async () => {
    await using stage = await createStage([4, 6], AMBIENT_APPLICATION_PORTS);
    await using _ztunnel = await stage.startZtunnel();
    let port = 16_000;
    const scene: Scene = { dialect: to, kind: "dual pod", stage, nextPort: () => port++ };
    for (const testCase of AMBIENT_POD_CASES.filter(({ effects }) => effects !== undefined)) {
      const outcome = outcomeOf(scene, testCase);
      const capture = outcome.capture ?? assert.fail("it is in the mesh");
      await backendOf(from).apply(stage.pod.fd, capture);
      const applied = await backendOf(to).apply(stage.pod.fd, capture);
      assert.deepEqual([applied.dialect, applied.changed, applied.replaced], [to, true, [from]]);
      await checkPod(scene, outcome, `${testCase.name} from ${from}`);
      assert.deepEqual(
        rulesIn(stage.pod).filter((line) => isOf(from, line)),
        [],
        testCase.name,
      );
      assert.equal(await backendOf(to).remove(stage.pod.fd, capture), true);
    }
  });
}

function isOf(dialect: (typeof DIALECTS)[number], line: string): boolean {
  if (dialect === "nftables") return line.startsWith("table inet istio-");
  return line.includes(dialect === "iptables-nft" ? "tables-nft-save" : "tables-legacy-save");
}
