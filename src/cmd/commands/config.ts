/**
 * `install-cni config`: every option with its value and where it comes from, of this command line and environment or of the
 * agent that runs; warnings and notes go to the second text.
 */

import { renderConfigJson, renderConfigText } from "../../core/config/help-text.ts";
import { listValues, resolveConfig } from "../../core/config/resolve-config.ts";
import { CONFIG_DOCUMENT, readOptions } from "../../core/status/config-document.ts";
import type { OptionFlags } from "../flags.ts";
import { readNetworkConfig } from "../network-config.ts";
import { askAgent, QUERY_EXIT_CODES, type QueryOutcome } from "./ask-agent.ts";

export interface ConfigCommandInput {
  readonly flags: OptionFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: "text" | "json";
}

/**
 * Texts for standard output and standard error. Of files, CNI_NETWORK_CONFIG_FILE is read, as the agent does at its start.
 * @throws ConfigError when the agent would not start with this configuration either
 */
export async function renderConfig({ flags, env, output }: ConfigCommandInput): Promise<{
  readonly stdout: string;
  readonly stderr: string;
}> {
  const resolved = resolveConfig({ flags, env });
  await readNetworkConfig(resolved.config);
  const options = listValues(resolved);
  const remarks = [
    ...resolved.warnings.map((text) => `warning: ${text}\n`),
    ...resolved.notes.map((text) => `${text}\n`),
  ];
  return {
    stdout: output === "json" ? renderConfigJson(options) : renderConfigText(options),
    stderr: remarks.join(""),
  };
}

/** The same of the agent that runs; what it warned of is in its log. @throws {ConfigError} for a run directory that is none. */
export async function showRunningConfig(input: ConfigCommandInput): Promise<QueryOutcome> {
  const answer = await askAgent("/config", CONFIG_DOCUMENT, input);
  if ("outcome" in answer) return answer.outcome;
  const options = readOptions(answer.document.options);
  return {
    stdout: input.output === "json" ? renderConfigJson(options) : renderConfigText(options),
    stderr: "",
    exitCode: QUERY_EXIT_CODES.allGood,
  };
}
