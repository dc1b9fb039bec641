// Label selectors of Kubernetes: what a requirement is, and which labels meet it (apimachinery pkg/labels/selector.go,
// pkg/util/validation). How they are written is the business of those who read them: policy/repair-selectors.ts,
// policy/enablement-selectors.ts, node-affinity.ts.

import { OBJECT_NAME } from "./object-name.ts";

/** Those of a metav1.LabelSelector. */
export type LabelOperator = "In" | "NotIn" | "Exists" | "DoesNotExist";

export interface LabelRequirement {
  readonly key: string;
  /** Gt and Lt, in the text form of selectors and in node affinity only: the label's value is a whole number beyond the bound. */
  readonly operator: LabelOperator | "Gt" | "Lt";
  /** At least one for In and NotIn, exactly one for Gt and Lt, none for the others. */
  readonly values: readonly string[];
}

/** All of them have to be met; none means everything. */
export type LabelSelector = readonly LabelRequirement[];

export type Labels = Readonly<Record<string, string>>;

export function meetsRequirement({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  return meetsOperator(operator, values, Object.hasOwn(labels, key) ? labels[key] : undefined);
}

/** Whether a value, undefined where there is none, is as asked. NotIn is met where there is none, too; an operator that is not
 * known is met by nothing. */
export function meetsOperator(operator: string, values: readonly string[], value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt": {
      const [number, bound] = [parseInt64(value), values.length === 1 ? parseInt64(values[0]) : undefined];
      if (number === undefined || bound === undefined) return false;
      return operator === "Gt" ? number > bound : number < bound;
    }
    default:
      return false;
  }
}

/** As Go's strconv.ParseInt(text, 10, 64). */
function parseInt64(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[-+]?[0-9]{1,63}$/.test(text)) return undefined;
  const number = BigInt(text.replace(/^\+/, ""));
  return BigInt.asIntN(64, number) === number ? number : undefined;
}

export function matchesLabels(selector: LabelSelector, labels: Labels): boolean {
  return selector.every((requirement) => meetsRequirement(requirement, labels));
}

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

/** For messages. */
export const LABEL_KEY_ACCEPTED =
  "a label key such as example.com/name (name at most 63, prefix at most 253 characters)";
export const LABEL_VALUE_ACCEPTED = "a label value (letters, digits, '-', '_' and '.', at most 63 characters)";

/** `name` or `prefix/name`. */
export function isLabelKey(text: string): boolean {
  const slash = text.indexOf("/");
  if (slash >= 0 && !OBJECT_NAME.test(text.slice(0, slash))) return false;
  return NAME.test(text.slice(slash + 1));
}

/** May be empty. */
export function isLabelValue(text: string): boolean {
  return text === "" || NAME.test(text);
}

/** A selector nobody can follow. */
export class SelectorError extends Error {
  override readonly name = "SelectorError";
  readonly code = "malformed-selector";
  readonly option: string;
  readonly value: string;
  /** What is wrong with it, as the middle of the message. */
  readonly state: string;
  readonly accepted: string;

  constructor(option: string, value: string, state: string, accepted: string) {
    super(`Cannot use ${option}: ${state}; accepted: ${accepted}`);
    this.option = option;
    this.value = value;
    this.state = state;
    this.accepted = accepted;
  }
}
