/**
 * The effective configuration as the agent that runs tells it: `GET /config`, and `options` of the status document. Within one
 * schemaVersion keys are only added.
 */

import type { EffectiveOption } from "../config/resolve-config.ts";
import { exactly, FLAG, listOf, object, oneOf, orNull, TEXT, type TypeOf } from "./shape.ts";

export const CONFIG_SCHEMA_VERSION = 1;

export const OPTION_STATUS = object({
  /** The variable, else the flag with its dashes. */
  name: TEXT,
  /** Without dashes. */
  flag: orNull(TEXT),
  env: orNull(TEXT),
  /** As text, the way it would be given. */
  value: TEXT,
  /** What an empty default stands for. */
  standsFor: orNull(TEXT),
  source: oneOf(["flag", "environment", "default"]),
  /** False: it is accepted, and changes nothing here. */
  hasEffect: FLAG,
});

export const CONFIG_DOCUMENT = object({
  schemaVersion: exactly(CONFIG_SCHEMA_VERSION),
  options: listOf(OPTION_STATUS),
});

export type OptionStatus = TypeOf<typeof OPTION_STATUS>;

export function describeOptions(options: readonly EffectiveOption[]): readonly OptionStatus[] {
  return options.map(({ name, flag = null, env = null, value, standsFor = null, source, hasEffect }) => {
    return { name, flag, env, value, standsFor, source, hasEffect };
  });
}

/** Back to the form that the `config` command renders. */
export function readOptions(options: readonly OptionStatus[]): readonly EffectiveOption[] {
  return options.map(({ name, flag, env, value, standsFor, source, hasEffect }) => ({
    name,
    ...(flag !== null && { flag }),
    ...(env !== null && { env }),
    value,
    ...(standsFor !== null && { standsFor }),
    source,
    hasEffect,
  }));
}
