/**
 * Every option there is, as one table: help, parser, `config` listing and tests all read it. Nothing else in the
 * project reads a flag or an environment variable.
 */

import type { GroupValues, Option, OptionGroup } from "./option.ts";
import { API_OPTIONS, INSTALL_OPTIONS } from "./options-install.ts";
import { AMBIENT_OPTIONS, POLICY_OPTIONS, SIDECAR_OPTIONS } from "./options-mesh.ts";
import { ACCEPTED_OPTIONS, LOG_OPTIONS, MONITORING_OPTIONS } from "./options-process.ts";
import { REPAIR_OPTIONS } from "./options-repair.ts";
import { VERIFY_OPTIONS } from "./options-verify.ts";

/** Groups in the order in which they are shown. */
export const OPTION_GROUPS = {
  install: INSTALL_OPTIONS,
  api: API_OPTIONS,
  policy: POLICY_OPTIONS,
  sidecar: SIDECAR_OPTIONS,
  ambient: AMBIENT_OPTIONS,
  verify: VERIFY_OPTIONS,
  repair: REPAIR_OPTIONS,
  log: LOG_OPTIONS,
  monitoring: MONITORING_OPTIONS,
  accepted: ACCEPTED_OPTIONS,
} as const;

export type OptionGroupName = keyof typeof OPTION_GROUPS;

export const GROUP_TITLES: Readonly<Record<OptionGroupName, string>> = {
  install: "Installing the plugin on the host",
  api: "Kubernetes",
  policy: "Which pods, and how",
  sidecar: "Sidecar mode",
  ambient: "Ambient mode",
  verify: "Verification of running pods",
  repair: "Repair of pods that started without redirection",
  log: "Log",
  monitoring: "Metrics and status page",
  accepted: "Accepted, without effect",
};

/** Values by group and key, before anything is derived from them. */
export type OptionValues = { readonly [G in OptionGroupName]: GroupValues<(typeof OPTION_GROUPS)[G]> };

/** "group.key" of every option. */
export type OptionId = {
  [G in OptionGroupName]: `${G}.${Extract<keyof (typeof OPTION_GROUPS)[G], string>}`;
}[OptionGroupName];

/** One option and its place: `id` is "group.key". */
export interface OptionEntry {
  readonly id: string;
  readonly group: OptionGroupName;
  readonly option: Option<unknown>;
}

/** The whole table, flat, in the order of display. */
export const ALL_OPTIONS: readonly OptionEntry[] = (Object.keys(OPTION_GROUPS) as OptionGroupName[]).flatMap(
  (group) => {
    const options: OptionGroup = OPTION_GROUPS[group];
    return Object.entries(options).map(([key, row]) => ({ id: `${group}.${key}`, group, option: row }));
  },
);

/** What an option is called in sentences: its variable, else its flag. */
export function optionName(option: Option<unknown>): string {
  return option.env ?? `--${option.flag ?? ""}`;
}
