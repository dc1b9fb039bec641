/**
 * `install-cni config`: every option with its value and where it comes from; warnings and notes go to the second text.
 */

import { renderConfigJson, renderConfigText } from "../../core/config/help-text.ts";
import { listValues, resolveConfig } from "../../core/config/resolve-config.ts";
import type { OptionFlags } from "../flags.ts";

export interface ConfigCommandInput {
  readonly flags: OptionFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: "text" | "json";
}

/**
 * Texts for standard output and standard error.
 * @throws ConfigError when the agent would not start with this configuration either
 */
export function renderConfig({ flags, env, output }: ConfigCommandInput): {
  readonly stdout: string;
  readonly stderr: string;
} {
  const resolved = resolveConfig({ flags, env });
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
