/**
 * What can be wrong with a command line or an environment, as one error that lists every problem found, so that
 * a user mends all of them in one go. Each sentence names the option, the value it has and what would be accepted.
 */

import { quoteText } from "../short-text.ts";
import { printable } from "../text-columns.ts";

export type ConfigErrorCode =
  | "unknown-command"
  | "unknown-flag"
  | "missing-value"
  | "malformed-value"
  | "contradiction";

export interface ConfigProblem {
  readonly code: ConfigErrorCode;
  /** As the user wrote it: `--monitoring-port`, `MONITORING_PORT`, or a command's name. */
  readonly option: string;
  /** The offending text, unabridged; absent when there is none. */
  readonly value?: string;
  /** What would have been accepted; absent when nothing would. */
  readonly accepted?: string;
  /** The whole sentence, on one line. */
  readonly message: string;
}

/** Thrown before anything is started; `message` has one line per problem. The process exits with 1. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code: ConfigErrorCode;
  readonly problems: readonly ConfigProblem[];

  /** @param problems at least one; the first one gives the error its code. */
  constructor(problems: readonly [ConfigProblem, ...ConfigProblem[]]) {
    super(problems.map((problem) => problem.message).join("\n"));
    this.code = problems[0].code;
    this.problems = problems;
  }
}

/**
 * A value for a message: quoted, on one line, without characters that a terminal obeys or that turn the direction of writing,
 * abridged to 80 characters.
 */
export function quoteValue(text: string): string {
  return printable(quoteText(text));
}

/** The problem of a value that its option's type refuses; `fault` is what the type can say about it. */
export function malformedValue(
  option: string,
  value: string,
  accepts: string,
  fault?: { readonly state: string; readonly accepted: string },
): ConfigProblem {
  const { state, accepted } = fault ?? { state: `it is ${quoteValue(value)}`, accepted: accepts };
  const message = `Cannot use ${option}: ${state}; accepted: ${accepted}`;
  return { code: "malformed-value", option, value, accepted, message };
}
