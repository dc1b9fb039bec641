// A minute of fuzzing at most: every reader of hostile input gets its share, from a seed that is always the same and with a bound
// of inputs, so that a change is judged by what it changed and not by the machine. `make fuzz` goes on from other seeds for as
// long as one likes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepInput, readCorpus } from "../../testbed/fuzz/corpus.ts";
import { fuzz } from "../../testbed/fuzz/fuzz-run.ts";
import { TARGET_NAMES } from "../../testbed/fuzz/targets.ts";

const SEED = 20_261;
const MINUTE_SECONDS = 60;
/** All of which were run once without a bound of time. */
const MAX_EXECUTIONS = 2000;

for (const name of TARGET_NAMES) {
  test(`${name} holds what it promises for whatever it is given`, async () => {
    const corpus = readCorpus(name).map(({ input }) => input);
    const share = { seconds: MINUTE_SECONDS / TARGET_NAMES.length, maxExecutions: MAX_EXECUTIONS };
    const result = await fuzz(name, { seed: SEED, ...share, corpus });
    const told = result.findings.map(({ input, message }) => `${keepInput(name, input)}, seed ${SEED}: ${message}`);
    assert.deepEqual(told, []);
    assert.ok(result.executions > 0);
  });
}
