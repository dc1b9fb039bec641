// /proc/PID/stat (proc_pid_stat(5)): name and age of a process.

/** The two fields that tell processes of one namespace apart. */
export interface ProcessStat {
  /** At most 15 bytes, chosen by the process itself: it may hold blanks, parentheses, anything. */
  readonly comm: string;
  /** Clock ticks since boot. */
  readonly startTime: number;
}

/** `starttime` is field 22, and the fields after the last parenthesis begin with field 3. */
const START_TIME_INDEX = 22 - 3;

/** Reads the text of /proc/PID/stat; undefined when it is not that. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  const startTime = text.slice(close + 2).split(" ", START_TIME_INDEX + 1)[START_TIME_INDEX];
  if (startTime === undefined || !/^[0-9]{1,15}$/.test(startTime)) return undefined;
  return { comm: text.slice(open + 1, close), startTime: Number(startTime) };
}
