// Runs programs: by argv, never by a shell, with a cleaned environment, a deadline and bounded output. The only place
// where the agent starts a process; that it does so at all is for iptables legacy alone (DESIGN 3.4).
import { type ChildProcess, spawn } from "node:child_process";
import { runInNetns } from "../linux/netns.ts";
import { ExecError } from "./exec-error.ts";
import { PROGRAM_FOLDERS } from "./find-program.ts";

export interface ExecRequest {
  /** The program by its whole path, and its arguments. */
  readonly argv: readonly [string, ...string[]];
  readonly input?: string;
  /** The child sees `LC_ALL=C`, a fixed PATH and these; nothing of our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Runs in this network namespace, which the child also holds as descriptor 3. */
  readonly netnsFd?: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Enough for the rules of a namespace with thousands of them. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const ENVIRONMENT = { LC_ALL: "C", PATH: PROGRAM_FOLDERS.join(":") } as const;

/**
 * Runs a program to its end. Only the start is synchronous: the child is forked on this thread and so inherits the
 * namespace the thread is in (DESIGN 3.2); the event loop goes on while it runs.
 * @throws {ExecError} unless it ends with 0 in time. The child is killed before that is thrown.
 */
export function exec(request: ExecRequest): Promise<ExecResult> {
  const { argv, netnsFd, signal } = request;
  if (signal?.aborted) return Promise.reject(new ExecError("aborted", "called off before it began", { argv }));
  return new Promise((resolve, reject) => {
    let child: ChildProcess;
    try {
      child = netnsFd === undefined ? start(request) : runInNetns(netnsFd, () => start(request));
    } catch (cause) {
      reject(new ExecError("not-started", String(cause), { argv, cause }));
      return;
    }
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let size = 0;
    let failure: ExecError | undefined;
    const kill = (error: ExecError): void => {
      failure ??= error;
      child.kill("SIGKILL");
      // What it has started itself may live on with its outputs (iptables starts modprobe); nobody waits for that.
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const collect = (chunks: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_OUTPUT_BYTES) chunks.push(chunk);
      else kill(new ExecError("output", `it printed more than ${MAX_OUTPUT_BYTES} bytes`, { argv }));
    };
    const abort = (): void => kill(new ExecError("aborted", "called off", { argv, cause: signal?.reason }));
    const timer = setTimeout(() => {
      kill(new ExecError("timeout", `not done after ${request.timeoutMs} ms`, { argv }));
    }, request.timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });

    child.stdout?.on("data", collect(stdout));
    child.stderr?.on("data", collect(stderr));
    // A program that ends without reading its input says why by its status.
    child.stdin?.on("error", () => {});
    child.stdin?.end(request.input ?? "");
    child.on("error", (cause) => {
      failure ??= new ExecError("not-started", String(cause), { argv, cause });
    });
    child.on("close", (exitCode, killedBy) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      const said = Buffer.concat(stderr).toString();
      const details = { argv, exitCode, signal: killedBy, stderr: said };
      if (failure !== undefined) reject(failure);
      else if (killedBy !== null) reject(new ExecError("signal", `killed by ${killedBy}`, details));
      else if (exitCode !== 0) reject(new ExecError("exit", `it ended with ${exitCode}`, details));
      else resolve({ stdout: Buffer.concat(stdout).toString(), stderr: said });
    });
  });
}

function start({ argv, env, netnsFd }: ExecRequest): ChildProcess {
  const [file, ...args] = argv;
  const inherited = netnsFd === undefined ? [] : [netnsFd];
  return spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe", ...inherited],
    env: { ...ENVIRONMENT, ...env },
    cwd: "/",
  });
}
