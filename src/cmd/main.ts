// install-cni: reads the command line, runs the agent or another command, ends the process. The agent itself is joined in
// wire.ts, the other commands in commands/run-command.ts.
import { ConfigError } from "../core/config/config-error.ts";
import { listValues, resolveConfig } from "../core/config/resolve-config.ts";
import { messageOf } from "../core/error-message.ts";
import { createLogLevelTable } from "../core/log-levels.ts";
import { createLogger } from "../core/log-writer.ts";
import { createSystemClock } from "../platform/clock.ts";
import { openLogSink } from "../platform/log.ts";
import { EXIT_CODES, watchLifecycle } from "../platform/process/lifecycle.ts";
import { buildInfo } from "./build-info.ts";
import { longVersion } from "./commands/version.ts";
import { type OptionFlags, parseInvocation, usageStatusOf } from "./flags.ts";

/** What is still running so long after the agent has ended is cut; at once when it could not start. */
const EXIT_GRACE_MS = 3000;
const EXIT_AT_ONCE_MS = 20;

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  try {
    const invocation = parseInvocation(argv);
    if (invocation.command === "run") return await run(invocation.flags);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return usageStatusOf(argv);
  }
  // Bundled by itself (tools/bundle.ts): the agent holds nothing of the other commands.
  const { runCommand } = await import("./commands/run-command.ts");
  return runCommand(argv);
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
