// The error of every program that did not do what it was started for.

/** Why: not there or not startable, ended with another status than 0, killed by a signal, too slow, too talkative, called off. */
export type ExecErrorCode = "not-started" | "exit" | "signal" | "timeout" | "output" | "aborted";

/** A program that failed. `stderr` is what it said, at most 4 KiB of it. */
export class ExecError extends Error {
  override readonly name = "ExecError";
  readonly code: ExecErrorCode;
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderr: string;

  constructor(
    code: ExecErrorCode,
    state: string,
    details: {
      readonly argv: readonly string[];
      readonly exitCode?: number | null;
      readonly signal?: string | null;
      readonly stderr?: string;
      readonly cause?: unknown;
    },
  ) {
    const stderr = (details.stderr ?? "").slice(0, 4096).trim();
    super(`Cannot run ${details.argv[0] ?? "nothing"}: ${state}${stderr === "" ? "" : `: ${stderr}`}`, {
      cause: details.cause,
    });
    this.code = code;
    this.argv = details.argv;
    this.exitCode = details.exitCode ?? null;
    this.signal = details.signal ?? null;
    this.stderr = stderr;
  }
}
