// The commands beside the agent: each is loaded when it is asked for. What runs the agent is in main.ts.
import { ConfigError } from "../../core/config/config-error.ts";
import { EXIT_CODES } from "../../platform/process/lifecycle.ts";
import { buildInfo } from "../build-info.ts";
import { parseInvocation, usageStatusOf } from "../flags.ts";
import type { QueryOutcome } from "./ask-agent.ts";
import { renderVersion } from "./version.ts";

/** What is still running so long after `doctor` has answered is cut. */
const EXIT_GRACE_MS = 3000;

/**
 * Runs what the arguments ask for, which is not to run the agent, and resolves with the exit status. Malformed values are told
 * on stderr.
 */
export async function runCommand(argv: readonly string[]): Promise<number> {
  try {
    const invocation = parseInvocation(argv);
    switch (invocation.command) {
      case "help": {
        const { helpOn } = await import("./help.ts");
        print(helpOn(invocation.topic));
        return EXIT_CODES.ok;
      }
      case "completion": {
        const { renderCompletion } = await import("../../core/config/completion-script.ts");
        print(renderCompletion(invocation.shell, invocation));
        return EXIT_CODES.ok;
      }
      case "version":
        print(renderVersion(buildInfo, invocation));
        return EXIT_CODES.ok;
      case "config": {
        const { renderConfig, showRunningConfig } = await import("./config.ts");
        const input = { ...invocation, env: process.env };
        if (invocation.isRunning) return tell(await showRunningConfig(input));
        const { stdout, stderr } = await renderConfig(input);
        print(stdout, stderr);
        return EXIT_CODES.ok;
      }
      case "status": {
        const { showStatus } = await import("./status.ts");
        return tell(await showStatus({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "explain": {
        const { explainPod } = await import("./explain.ts");
        return tell(await explainPod({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "render": {
        const { renderManifest } = await import("./render.ts");
        return tell(await renderManifest({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "trace": {
        const { traceInPod } = await import("./trace.ts");
        return tell(await traceInPod({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "log-level": {
        const { logLevel } = await import("./log-level.ts");
        return tell(await logLevel({ ...invocation, env: process.env }));
      }
      case "doctor": {
        const { doctor } = await import("./doctor.ts");
        const { stdout, stderr, exitCode } = await doctor({
          ...invocation,
          env: process.env,
          hasColours: hasColours(),
        });
        print(stdout, stderr);
        // A look at a disk that hangs keeps its thread.
        setTimeout(() => process.exit(), EXIT_GRACE_MS).unref();
        return exitCode;
      }
      case "uninstall": {
        const command = invocation.isForAllNodes
          ? (await import("./uninstall-all-nodes.ts")).uninstallAllNodes
          : (await import("./uninstall.ts")).uninstall;
        const { stdout, stderr, exitCode } = await command({ ...invocation, env: process.env });
        print(stdout, stderr);
        return exitCode;
      }
      case "run":
        throw new TypeError("Cannot run the agent from here: main.ts does");
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return usageStatusOf(argv);
  }
}

function tell({ stdout, stderr, exitCode }: Omit<QueryOutcome, "exitCode"> & { readonly exitCode: number }): number {
  print(stdout, stderr);
  return exitCode;
}

/**
 * Whoever reads may have seen enough (`| head`): that is no failure of ours, and the exit code stays what it is. An answer that
 * cannot be written, to a full disk say, was not given: the command ends as when it cannot tell.
 */
function print(stdout: string, stderr = ""): void {
  process.stderr.on("error", () => undefined);
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") return;
    process.stderr.write(`Cannot write the answer: ${error.message}\n`);
    process.once("exit", () => {
      process.exitCode = usageStatusOf(process.argv.slice(2));
    });
  });
  if (stdout !== "") process.stdout.write(stdout);
  if (stderr !== "") process.stderr.write(stderr);
}

/** Only for people who look at a terminal that can, and who have not said otherwise (no-color.org). */
function hasColours(): boolean {
  const { NO_COLOR, TERM } = process.env;
  return process.stdout.isTTY && (NO_COLOR ?? "") === "" && TERM !== "dumb";
}
