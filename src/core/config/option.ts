/**
 * The shape of one row of the options table. The rows are in the options-*.ts files, one per duty; options.ts joins them.
 */

import type { ValueType } from "./value-type.ts";

/** @typeParam T what the option's value means. At least one of `flag` and `env` is there. */
export interface Option<T> {
  /** Without the leading dashes. */
  readonly flag?: string;
  readonly env?: string;
  readonly type: ValueType<T>;
  /** Holds when neither flag nor variable is given; a variable that is set but empty counts as not given. */
  readonly fallback: NoInfer<T>;
  /** What the fallback stands for, for people, where its own text does not say it. */
  readonly fallbackText?: string;
  /** One sentence, upper case first, full stop. */
  readonly doc: string;
  /** Why a value changes nothing here; such an option is accepted and said once when it is given. */
  readonly inert?: string;
  /** The flag may be given several times; the values are joined, `T` is an array. */
  readonly repeatable?: true;
}

export type OptionGroup = Readonly<Record<string, Option<unknown>>>;

/** The values of a group of options. */
export type GroupValues<G> = { readonly [K in keyof G]: G[K] extends Option<infer T> ? T : never };

/** Where a value was found. */
export type ValueSource = "flag" | "environment" | "default";

/** Checks a row and infers its value type. */
export function option<T>(row: Option<T>): Option<T> {
  return row;
}
