// Gives memory back that only past work needed: garbage that nobody has collected, what malloc keeps for later, and pages of
// program files, which are clean copies: whatever is needed again is mapped again from the page cache. Measured in ADR 4.
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { madvise, mallocTrim } from "./libc.ts";

const MADV_DONTNEED = 4;
/** "START-END r?-p OFFSET DEVICE INODE PATH": private, not writable, of a file. */
const FILE_MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9][0-9]* +\//;

type Collector = (options: NodeJS.GCOptions) => void;

let collect: Collector | undefined;

/** A stretch of memory, in bytes. */
export interface Mapping {
  readonly start: bigint;
  readonly length: bigint;
}

/** Keeps the thread for some 20 ms, longer where V8 waits for its helpers. Never fails: what this runtime does not offer, or /proc does not tell, is left out. */
export function trimMemory(): void {
  collect ??= findCollector();
  // An ordinary collection keeps the heap's pages for what may come; this one gives them back, and compiled code that was not
  // executed lately with them.
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
  mallocTrim(0n);
  unmapFilePages();
}

/** V8 gives its collector to contexts that are made while it is exposed. As a flag of the launcher that would cost every start
 * some 25 ms: Node's own modules are compiled for other flags then, and have to be compiled anew. */
function findCollector(): Collector {
  setFlagsFromString("--expose-gc");
  const found: unknown = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  return typeof found === "function" ? (options) => void found(options) : () => undefined;
}

function unmapFilePages(): void {
  let smaps: string;
  try {
    smaps = readFileSync("/proc/self/smaps", "utf8");
  } catch {
    return;
  }
  for (const { start, length } of parseCleanFileMappings(smaps)) madvise(start, length, MADV_DONTNEED);
}

/** The mappings in a /proc/PID/smaps text that hold nothing but unchanged file pages. A mapping with one page changed
 * (relocated by the dynamic linker, then write-protected) is left out whole: dropping that page would lose the change. */
export function parseCleanFileMappings(smaps: string): Mapping[] {
  return smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap((entry) => {
    const [, start, end] = FILE_MAPPING.exec(entry) ?? [];
    if (start === undefined || end === undefined) return [];
    if (!/^Anonymous: +0 kB$/m.test(entry) || !/^Private_Dirty: +0 kB$/m.test(entry)) return [];
    const [from, to] = [BigInt(`0x${start}`), BigInt(`0x${end}`)];
    // What is no range of addresses is not for madvise(2).
    return from < to && to < 2n ** 64n ? [{ start: from, length: to - from }] : [];
  });
}
