// What the operator set for the repair of pods, as the policy reads it.
import type { AgentConfig } from "../core/config/agent-config.ts";
import { ConfigError } from "../core/config/config-error.ts";
import { SelectorError } from "../core/kube/label-selector.ts";
import { chooseRepairMode, type RepairOptions } from "../core/policy/repair-decision.ts";
import { type PodSelector, parsePodSelectors } from "../core/policy/repair-selectors.ts";

/** @throws {ConfigError} for a selector nobody can follow. */
export function repairSettings({ repair }: AgentConfig): RepairOptions {
  return {
    mode: chooseRepairMode(repair),
    selects: selectorOf(repair),
    sidecarAnnotation: repair.sidecarAnnotation,
    initContainerName: repair.initContainerName,
    terminationMessage: repair.terminationMessage,
    exitCode: repair.exitCode,
    labelKey: repair.labelKey,
  };
}

function selectorOf({ labelSelectors, fieldSelectors }: AgentConfig["repair"]): PodSelector {
  try {
    return parsePodSelectors({ labels: labelSelectors, fields: fieldSelectors });
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    const { option, value, accepted, message } = error;
    throw new ConfigError([{ code: "malformed-value", option, value, accepted, message }]);
  }
}
