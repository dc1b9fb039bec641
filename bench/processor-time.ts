// What all processors of the machine did, of which a benchmark is only a part: whether some stood idle while somebody
// waited. Pure.

/** All processors' time so far, in the kernel's ticks. */
export interface ProcessorTime {
  readonly idle: number;
  readonly total: number;
}

/** The first line of /proc/stat; waiting for a disk counts as idle (proc_stat(5)). @throws {TypeError} on another text. */
export function parseProcessorTime(stat: string): ProcessorTime {
  const [, text] = /^cpu +(\d+(?: \d+){7})/.exec(stat) ?? [];
  if (text === undefined) throw new TypeError("Cannot read processor times: the text is not /proc/stat");
  const ticks = text.split(" ").map(Number);
  const [, , , idle = 0, waiting = 0] = ticks;
  return { idle: idle + waiting, total: ticks.reduce((sum, value) => sum + value, 0) };
}

/** The share of all processors' time between two readings in which they had nothing to do, in percent; undefined when
 * no tick has passed. */
export function idlePercent(before: ProcessorTime, after: ProcessorTime): number | undefined {
  const total = after.total - before.total;
  return total <= 0 ? undefined : ((after.idle - before.idle) / total) * 100;
}
