import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countDescriptors,
  countThreads,
  forgetPeak,
  parseChildrenCpuMs,
  parseMemoryStat,
  parseStatusKib,
  readChildrenCpuMs,
  readCpuMs,
  readMainThread,
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

test("parseChildrenCpuMs() is not misled by a process's name", () => {
  const fields = "S 1 2 3 4 5 6 7 8 9 10 500 600 7 8 20";
  assert.equal(parseChildrenCpuMs(`71 (node) ${fields}`), 150);
  assert.equal(parseChildrenCpuMs(`71 (a) b) 9 9) ${fields}`), 150);
  assert.throws(() => parseChildrenCpuMs("71 (node) S 1"), TypeError);
});

test("the readers understand this kernel's files", () => {
  const { rssMib, anonMib, peakMib } = readMemory(process.pid);
  assert.ok(rssMib > anonMib && anonMib > 0 && peakMib >= rssMib);
  forgetPeak(process.pid);
  assert.ok(readMemory(process.pid).peakMib > 0 && readChildrenCpuMs(process.pid) >= 0);
  assert.ok(readMainThread(process.pid).runMs > 0 && readMainThread(process.pid).waitMs >= 0);
  assert.ok(readCpuMs(process.pid) > 0 && countDescriptors(process.pid) > 2 && countThreads(process.pid) >= 1);
});
