// Programs of the testbed: run to the end, or kept running with their output at hand. Arguments as arrays, no shell.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";

/** How a program ended and what it said. `status` is null when a signal ended it. */
export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** File that is the program's standard input; nothing unless told. */
  readonly stdinPath?: string;
}

export interface StartOptions extends Omit<CommandOptions, "timeoutMs"> {
  /** Called with every line of both streams as it arrives. */
  readonly onLine?: (line: string) => void;
}

/** A program that was started and is owned by whoever started it. */
export interface RunningCommand extends AsyncDisposable {
  readonly argv: readonly string[];
  readonly pid: number;
  /** The last 10,000 lines of both streams, in order of arrival. */
  readonly lines: readonly string[];
  /** Settles when the program has ended and its output is complete; 128 + number for a signal. */
  readonly exited: Promise<number>;
  /** Resolves with the first line, past or to come, that `match` accepts.
   * @throws {Error} with the last lines, when the program ends or `timeoutMs` passes before. */
  waitForLine(match: (line: string) => boolean, timeoutMs?: number): Promise<string>;
  /** Sends the signal, kills after `graceMs`, and returns the exit status. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<number>;
}

const MAX_LINES = 10_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGTERM: 15 };

/** Runs a program to its end, whatever its status. @throws {Error} when it cannot start or takes too long. */
export function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const child = launch(argv, options, false);
  const output = { stdout: "", stderr: "" };
  let size = 0;
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const abandon = (state: string): void => {
    child.kill("SIGKILL");
    reject(new Error(`Cannot run ${argv.join(" ")}: ${state}\n${output.stderr.slice(-2000)}`));
  };
  const timeoutMs = options.timeoutMs ?? 60_000;
  const timer = setTimeout(() => abandon(`still running after ${timeoutMs} ms`), timeoutMs);
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
      size += text.length;
      if (size > MAX_OUTPUT_BYTES) abandon(`more than ${MAX_OUTPUT_BYTES} bytes of output`);
    });
  }
  child.once("error", (error) => reject(new Error(`Cannot run ${argv.join(" ")}: ${error.message}`, { cause: error })));
  child.once("close", (status) => resolve({ status, ...output }));
  return promise.finally(() => clearTimeout(timer));
}

/** As `runCommand()`, and a status other than 0 is an error that carries the output. Returns stdout. */
export async function mustRun(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const done = await runCommand(argv, options);
  if (done.status !== 0) throw new Error(`${argv.join(" ")} ended with ${done.status}: ${done.stderr}${done.stdout}`);
  return done.stdout;
}

/** Starts a program in a process group of its own, so that a Ctrl-C at the terminal is its owner's to handle.
 * @throws {Error} when it cannot be started. */
export function startCommand(argv: readonly string[], options: StartOptions = {}): RunningCommand {
  const child = launch(argv, options, true);
  const lines: string[] = [];
  const listeners = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => {
      if (lines.length === MAX_LINES) lines.shift();
      lines.push(line);
      options.onLine?.(line);
      for (const listener of listeners) listener(line);
    });
  }
  const exited = new Promise<number>((resolve) => {
    child.once("error", () => resolve(127));
    child.once("close", (status, signal) => resolve(status ?? 128 + (SIGNAL_NUMBERS[signal ?? ""] ?? 0)));
  });
  if (child.pid === undefined)
    throw new Error(`Cannot start ${argv.join(" ")}: no such program, or no right to run it`);
  const pid = child.pid;

  async function waitForLine(match: (line: string) => boolean, timeoutMs = 60_000): Promise<string> {
    const seen = lines.find(match);
    if (seen !== undefined) return seen;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const refuse = (state: string): void =>
      reject(new Error(`Cannot wait for a line of ${argv.join(" ")}: ${state}\n${lines.slice(-20).join("\n")}`));
    const listener = (line: string): void => {
      if (match(line)) resolve(line);
    };
    const timer = setTimeout(() => refuse(`not seen within ${timeoutMs} ms`), timeoutMs);
    listeners.add(listener);
    void exited.then((status) => refuse(`it ended with ${status}`));
    return promise.finally(() => {
      clearTimeout(timer);
      listeners.delete(listener);
    });
  }

  async function stop(signal: NodeJS.Signals = "SIGTERM", graceMs = 10_000): Promise<number> {
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
    return exited.finally(() => clearTimeout(timer));
  }

  return {
    argv,
    pid,
    lines,
    exited,
    waitForLine,
    stop,
    [Symbol.asyncDispose]: async () => void (await stop("SIGKILL")),
  };
}

function launch(argv: readonly string[], options: CommandOptions, detached: boolean): ChildProcess {
  const [file, ...args] = argv;
  if (file === undefined) throw new TypeError("Cannot run a program: argv is empty");
  const stdin = options.stdinPath === undefined ? undefined : openSync(options.stdinPath, "r");
  try {
    return spawn(file, args, {
      stdio: [stdin ?? "ignore", "pipe", "pipe"],
      detached,
      env: { ...process.env, LC_ALL: "C", ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
  } finally {
    if (stdin !== undefined) closeSync(stdin);
  }
}
