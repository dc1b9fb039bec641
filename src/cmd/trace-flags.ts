/**
 * Reads the flags of `install-cni trace`: which packet. What they mean is core/trace/trace-query.ts, which the agent asks too.
 */

import type { CommandLine } from "../core/config/command-line.ts";
import { ConfigError } from "../core/config/config-error.ts";
import { parseTraceQuery, type TraceTexts } from "../core/trace/trace-query.ts";

/** @param isGiven reads a switch. @throws {ConfigError} for a packet that nobody could send. */
export function readTrace(line: CommandLine, isGiven: (line: CommandLine, name: string) => boolean): TraceTexts {
  const text = (name: string): string | undefined => line.flags.get(name)?.at(-1);
  const texts: TraceTexts = {
    in: isGiven(line, "in"),
    udp: isGiven(line, "udp"),
    to: text("to"),
    from: text("from"),
    port: text("port"),
    uid: text("uid"),
    gid: text("gid"),
    mark: text("mark"),
  };
  const query = parseTraceQuery(texts);
  if (!("message" in query)) return texts;
  const { option, message } = query;
  const value = text(option);
  throw new ConfigError([
    value === undefined
      ? { code: "missing-value", option: `--${option}`, message }
      : { code: "malformed-value", option: `--${option}`, value, accepted: "see install-cni trace --help", message },
  ]);
}
