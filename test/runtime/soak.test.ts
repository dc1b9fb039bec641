// A soak of five minutes on a real containerd: pods of all kinds come and go while faults are injected by a seed; no pod of the mesh is
// ever outside, and nothing is left of any. SOAK_SECONDS and SOAK_SEED choose another one; unless told they are always the same, so
// that a change is judged by what it changed. `make soak` is one of an hour and of any seed; docs/soak.md tells what was seen.
import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { readCount } from "../../testbed/read-count.ts";
import { findFaults, renderFigures } from "../../testbed/soak/report.ts";
import { runSoak } from "../../testbed/soak/run-soak.ts";

enterNodeNamespaces();

const SECONDS = readCount("SOAK_SECONDS", 300, 86_400);
const SEED = readCount("SOAK_SEED", 534_347, 2 ** 31);

test(`pods of all kinds come and go for ${SECONDS} s under faults of seed ${SEED}: none is outside its mesh, nothing is left`, async () => {
  const said: string[] = [];
  const result = await runSoak({ seconds: SECONDS, seed: SEED, say: (line) => said.push(line) });
  console.log(`seed ${SEED}\n${renderFigures(result)}`);
  const faults = findFaults(result);
  // What matters comes last: of a long log often the end alone is kept.
  const told = [
    "what happened last:",
    ...said.slice(-40),
    `again: SOAK_SECONDS=${SECONDS} SOAK_SEED=${SEED} tools/node --test test/runtime/soak.test.ts`,
    "not as it should be:",
    ...faults,
  ];
  assert.ok(faults.length === 0, told.join("\n"));
});
