/**
 * What the kernel says about this process, for the `process_*` metrics. Cheap enough for every scrape.
 */

import { readdirSync, readFileSync } from "node:fs";

/** Fits core's ProcessStats. */
export interface SelfStats {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes?: number;
  readonly openFds?: number;
  readonly maxFds?: number;
  readonly startTimeSeconds: number;
}

/** Never throws; what /proc does not tell is left out. */
export function readProcessStats(): SelfStats {
  const { user, system } = process.cpuUsage();
  const virtualKb = matchNumber("/proc/self/status", /^VmSize:\s+(\d+) kB$/m);
  const maxFds = matchNumber("/proc/self/limits", /^Max open files\s+(\d+)/m);
  const openFds = countOpenFds();
  return {
    cpuSeconds: (user + system) / 1_000_000,
    residentBytes: process.memoryUsage.rss(),
    ...(virtualKb === undefined ? {} : { virtualBytes: virtualKb * 1024 }),
    ...(openFds === undefined ? {} : { openFds }),
    ...(maxFds === undefined ? {} : { maxFds }),
    startTimeSeconds: Math.round(performance.timeOrigin) / 1000,
  };
}

function matchNumber(path: string, pattern: RegExp): number | undefined {
  try {
    const text = pattern.exec(readFileSync(path, "latin1"))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}

function countOpenFds(): number | undefined {
  try {
    // The one that reads the folder is not counted.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return undefined;
  }
}
