// A minute of fuzzing in all: every reader of hostile input gets its share, from a seed that is always the same, so that a
// change is judged by what it changed. `make fuzz` goes on from other seeds for as long as one likes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepInput, readCorpus } from "../../testbed/fuzz/corpus.ts";
import { fuzz } from "../../testbed/fuzz/fuzz-run.ts";
import { TARGET_NAMES } from "../../testbed/fuzz/targets.ts";

const SEED = 20_261;
const MINUTE_SECONDS = 60;

for (const name of TARGET_NAMES) {
  test(`${name} holds what it promises for whatever it is given`, async () => {
    const corpus = readCorpus(name).map(({ input }) => input);
    const result = await fuzz(name, { seed: SEED, seconds: MINUTE_SECONDS / TARGET_NAMES.length, corpus });
    const told = result.findings.map(({ input, message }) => `${keepInput(name, input)}, seed ${SEED}: ${message}`);
    assert.deepEqual(told, []);
    assert.ok(result.executions > 0);
  });
}
