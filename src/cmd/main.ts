// install-cni: reads the command line, runs the command, ends the process. The agent itself is joined in wire.ts.
import { ConfigError } from "../core/config/config-error.ts";
import { listValues, resolveConfig } from "../core/config/resolve-config.ts";
import { messageOf } from "../core/error-message.ts";
import { createLogLevelTable } from "../core/log-levels.ts";
import { createLogger } from "../core/log-writer.ts";
import { createSystemClock } from "../platform/clock.ts";
import { openLogSink } from "../platform/log.ts";
import { EXIT_CODES, watchLifecycle } from "../platform/process/lifecycle.ts";
import { buildInfo } from "./build-info.ts";
import type { QueryOutcome } from "./commands/ask-agent.ts";
import { longVersion, renderVersion } from "./commands/version.ts";
import { type OptionFlags, parseInvocation, usageStatusOf } from "./flags.ts";

/** What is still running so long after the agent has ended is cut; at once when it could not start. */
const EXIT_GRACE_MS = 3000;
const EXIT_AT_ONCE_MS = 20;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  try {
    const invocation = parseInvocation(argv);
    switch (invocation.command) {
      case "help": {
        const { helpOn } = await import("./commands/help.ts");
        print(helpOn(invocation.topic));
        return EXIT_CODES.ok;
      }
      case "completion": {
        const { renderCompletion } = await import("../core/config/completion-script.ts");
        print(renderCompletion(invocation.shell, invocation));
        return EXIT_CODES.ok;
      }
      case "version":
        print(renderVersion(buildInfo, invocation));
        return EXIT_CODES.ok;
      case "config": {
        const { renderConfig, showRunningConfig } = await import("./commands/config.ts");
        const input = { ...invocation, env: process.env };
        if (invocation.isRunning) return tell(await showRunningConfig(input));
        const { stdout, stderr } = renderConfig(input);
        print(stdout, stderr);
        return EXIT_CODES.ok;
      }
      case "status": {
        const { showStatus } = await import("./commands/status.ts");
        return tell(await showStatus({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "explain": {
        const { explainPod } = await import("./commands/explain.ts");
        return tell(await explainPod({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "render": {
        const { renderManifest } = await import("./commands/render.ts");
        return tell(await renderManifest({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "trace": {
        const { traceInPod } = await import("./commands/trace.ts");
        return tell(await traceInPod({ ...invocation, env: process.env, hasColours: hasColours() }));
      }
      case "log-level": {
        const { logLevel } = await import("./commands/log-level.ts");
        return tell(await logLevel({ ...invocation, env: process.env }));
      }
      case "doctor": {
        const { doctor } = await import("./commands/doctor.ts");
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
          ? (await import("./commands/uninstall-all-nodes.ts")).uninstallAllNodes
          : (await import("./commands/uninstall.ts")).uninstall;
        const { stdout, stderr, exitCode } = await command({ ...invocation, env: process.env });
        print(stdout, stderr);
        return exitCode;
      }
      case "run":
        return await run(invocation.flags);
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

/** Whoever reads may have seen enough (`| head`): that is no failure of ours, and the exit code stays what it is. */
function print(stdout: string, stderr = ""): void {
  for (const [stream, text] of [
    [process.stdout, stdout],
    [process.stderr, stderr],
  ] as const) {
    if (text === "") continue;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
    stream.write(text);
  }
}

/** Only for people who look at a terminal that can, and who have not said otherwise (no-color.org). */
function hasColours(): boolean {
  const { NO_COLOR, TERM } = process.env;
  return process.stdout.isTTY && (NO_COLOR ?? "") === "" && TERM !== "dumb";
}

async function run(flags: OptionFlags): Promise<number> {
  const resolved = resolveConfig({ flags, env: process.env });
  const { config, warnings, notes } = resolved;
  const clock = createSystemClock();
  const { sink, problems } = openLogSink(config.log.targets);
  const levels = createLogLevelTable(config.log.levels);
  const logOptions = { asJson: config.log.asJson, scope: "cni-agent" };
  const log = createLogger({ epochMicros: clock.epochMicros, write: sink.write }, { levels, ...logOptions });
  // Whoever turns the log down is still told of in it.
  const allLines = createLogLevelTable([{ scope: "all", level: "debug" }]);
  const audit = createLogger(
    { epochMicros: clock.epochMicros, write: sink.write },
    { levels: allLines, ...logOptions },
  );
  using lifecycle = watchLifecycle({
    onStop: (signal) => log.info(`Received ${signal}: ending`),
    onCrash: (kind, error) => {
      log.error(`Ending on ${kind}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      sink.close();
    },
  });
  log.info(`CNI version: ${longVersion(buildInfo)}`);
  log.info(`CNI logging level: ${config.log.levels.map(({ scope, level }) => `${scope}:${level}`).join(",")}`);
  for (const warning of [...problems, ...warnings]) log.warn(warning);
  for (const note of notes) log.info(note);
  let graceMs = EXIT_GRACE_MS;
  try {
    const { describeStandalone } = await import("./standalone.ts");
    const standalone = await describeStandalone(config);
    if (standalone.length > 0) {
      for (const line of standalone) log.error(line);
      graceMs = EXIT_AT_ONCE_MS;
      return EXIT_CODES.failure;
    }
    // Only here: a command that asks must not wait for the agent's modules.
    const { runAgent } = await import("./wire.ts");
    const options = listValues(resolved);
    await runAgent({ config, options, log, levels, audit, clock, droppedLogLines: sink.dropped }, lifecycle.signal);
    log.info("Ended");
    return EXIT_CODES.ok;
  } catch (error) {
    log.error(`Cannot go on: ${messageOf(error)}`);
    graceMs = EXIT_AT_ONCE_MS;
    return EXIT_CODES.failure;
  } finally {
    sink.close();
    setTimeout(() => process.exit(), graceMs).unref();
  }
}
