import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countDescriptors,
  countThreads,
  parseMemoryStat,
  parseStatusKib,
  readCpuMs,
  readMemory,
} from "./process-figures.ts";

test("parseStatusKib() finds a line by its whole name", () => {
  const status = "Name:\tnode\nVmHWM:\t   90000 kB\nVmRSS:\t   66560 kB\nRssAnon:\t   20480 kB\nThreads:\t11\n";
  assert.equal(parseStatusKib(status, "VmRSS"), 66560);
  assert.equal(parseStatusKib(status, "RssAnon"), 20480);
  assert.throws(() => parseStatusKib(status, "Rss"), /no such line/);
  assert.throws(() => parseStatusKib(status, "Threads"), /no such line/);
});

test("parseMemoryStat() does not take total_inactive_file for inactive_file", () => {
  const stat = "inactive_file 4096\ntotal_inactive_file 8192\n";
  assert.deepEqual(
    [parseMemoryStat(stat, "inactive_file"), parseMemoryStat(stat, "total_inactive_file")],
    [4096, 8192],
  );
  assert.equal(parseMemoryStat(stat, "active_file"), 0);
});

test("the readers understand this kernel's files", () => {
  const { rssMib, anonMib } = readMemory(process.pid);
  assert.ok(rssMib > anonMib && anonMib > 0);
  assert.ok(readCpuMs(process.pid) > 0 && countDescriptors(process.pid) > 2 && countThreads(process.pid) >= 1);
});
