// For the test of run-tests.ts: runs one pattern, and prints last, as one line, what came of it.
import { runTests } from "../run-tests.ts";

const run = await runTests(process.argv.slice(2), 1);
process.stdout.write(`\n${JSON.stringify(run)}`);
