// Keeps a run: bench/last-run.json, which is under version control, and the page that is made of it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../testbed/node/repository.ts";
import { renderPerformancePage } from "./performance-page.ts";
import { parseRunRecord, type RunRecord, renderRunRecord } from "./run-record.ts";

export const RUN_RECORD = join(REPOSITORY, "bench/last-run.json");
export const PERFORMANCE_PAGE = join(REPOSITORY, "docs/performance.md");

/** Writes both. The page is made of what the record says, with its rounding: so it can be made again. */
export function recordRun(run: RunRecord): void {
  const text = renderRunRecord(run);
  writeFileSync(RUN_RECORD, text);
  writeFileSync(PERFORMANCE_PAGE, renderPerformancePage(parseRunRecord(text)));
}
