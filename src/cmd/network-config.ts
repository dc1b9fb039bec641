// CNI_NETWORK_CONFIG and its file: keys an operator wants in our plugin object beside those we write ourselves.

import type { PluginEntry } from "../core/cni/plugin-entry.ts";
import type { AgentConfig } from "../core/config/agent-config.ts";
import { ConfigError } from "../core/config/config-error.ts";
import { messageOf } from "../core/error-message.ts";
import { isRecord, parseJson } from "../core/json-value.ts";
import { readFollowed } from "../platform/fs/read-bounded.ts";

const MAX_BYTES = 64 * 1024;

/** The operator's keys; none when nothing was set. Ours are laid over them.
 * @throws {ConfigError} when the file cannot be read or holds no JSON object. */
export async function readNetworkConfig({ install }: Pick<AgentConfig, "install">): Promise<PluginEntry> {
  const { networkConfig, networkConfigFile } = install;
  if (networkConfig !== undefined) return parseObject("CNI_NETWORK_CONFIG", networkConfig);
  if (networkConfigFile === undefined) return {};
  try {
    const { bytes } = await readFollowed(networkConfigFile, MAX_BYTES);
    return parseObject("CNI_NETWORK_CONFIG_FILE", new TextDecoder().decode(bytes));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw refusal("CNI_NETWORK_CONFIG_FILE", `${networkConfigFile}: ${messageOf(error)}`);
  }
}

function parseObject(option: string, text: string): PluginEntry {
  const value = parseJson(text);
  if (!isRecord(value)) throw refusal(option, "it holds no JSON object");
  return value as PluginEntry;
}

function refusal(option: string, state: string): ConfigError {
  return new ConfigError([
    {
      code: "malformed-value",
      option,
      accepted: "a JSON object",
      message: `Cannot use ${option}: ${state}; accepted: a JSON object`,
    },
  ]);
}
