// Writes docs/performance.md anew from the record of the last whole run, or makes the given results that record first.
// Usage: tools/node bench/render-performance.ts [bench/results/FILE.json]
import { readFileSync } from "node:fs";
import { RUN_RECORD, recordRun } from "./record-run.ts";
import { parseRunRecord } from "./run-record.ts";

recordRun(parseRunRecord(readFileSync(process.argv[2] ?? RUN_RECORD, "utf8")));
