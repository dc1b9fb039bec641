// AMBIENT_ENABLEMENT_SELECTOR: which pods and namespaces ask for ambient mode (contract 7.1). Read as upstream reads it
// (cni/pkg/util/enablement_selector.go@1.30.3, sigs.k8s.io/yaml, encoding/json), but that nothing is misread in silence.
// Who else keeps a pod out is ambient-decision.ts.

import { isRecord } from "../json-value.ts";
import {
  isLabelKey,
  isLabelValue,
  LABEL_KEY_ACCEPTED,
  LABEL_VALUE_ACCEPTED,
  type LabelOperator,
  type LabelRequirement,
  type LabelSelector,
  type Labels,
  matchesLabels,
  SelectorError,
} from "../kube/label-selector.ts";
import { type PlainYaml, PlainYamlError, parsePlainYaml } from "../kube/plain-yaml.ts";
import { quoteText } from "../short-text.ts";

/** One entry: both selectors have to match. */
export interface EnablementEntry {
  readonly podSelector: LabelSelector;
  readonly namespaceSelector: LabelSelector;
  /** Whose labels make the difference: the namespace's where there is a selector for it, or where the selector for pods
   * takes one without any label; otherwise the pod's own. */
  readonly enrollsBy: "namespace" | "pod";
}

/** A metav1.LabelSelector as Go writes it to JSON. */
export type LabelSelectorJson = {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: LabelOperator;
    readonly values?: readonly string[];
  }[];
};

/** What upstream's plugin reads in the conflist (contract 3.3). */
export type EnablementEntryJson = {
  readonly podSelector: LabelSelectorJson;
  readonly namespaceSelector: LabelSelectorJson;
};

/** The entries are OR-ed; without any, no pod asks for ambient mode. */
export interface EnablementSelectors {
  readonly entries: readonly EnablementEntry[];
  readonly json: readonly EnablementEntryJson[];
  /** What is probably not meant, one sentence each. */
  readonly warnings: readonly string[];
}

/** `out`: whatever the namespace's labels are. `unknown`: they decide, and are not known. */
export type EnablementMatch =
  | { readonly kind: "in"; readonly by: EnablementEntry["enrollsBy"] }
  | { readonly kind: "out" }
  | { readonly kind: "unknown" };

const OPTION = "AMBIENT_ENABLEMENT_SELECTOR";
const ENTRY_FORM = "a list of entries {podSelector: {…}, namespaceSelector: {…}}";
/** Each becomes a line of the log. */
const MAX_WARNINGS = 20;
const SELECTOR_FORM = "a label selector with matchLabels and matchExpressions";
const OPERATORS: readonly LabelOperator[] = ["In", "NotIn", "Exists", "DoesNotExist"];

/**
 * Reads the option's text. A selector that is missing, null or empty takes everything; keys that mean nothing are ignored
 * with a warning, as upstream ignores them without.
 * @throws {SelectorError} naming place, value and what is accepted
 */
export function parseEnablementSelectors(text: string): EnablementSelectors {
  const fail = (state: string, accepted: string) => new SelectorError(OPTION, text, state, accepted);
  const warnings: string[] = [];
  const document = readYaml(text, fail);
  if (document === null) return { entries: [], json: [], warnings };
  if (!Array.isArray(document)) throw fail(`it is ${describe(document)}`, ENTRY_FORM);
  const json = document.map((item: PlainYaml, index): EnablementEntryJson => {
    const reader: Reader = { place: `entry ${index + 1}`, fail, warnings };
    const fields = openFields(reader, item, ["podSelector", "namespaceSelector"], ENTRY_FORM);
    return {
      podSelector: readSelector(within(reader, "podSelector"), fields.podSelector),
      namespaceSelector: readSelector(within(reader, "namespaceSelector"), fields.namespaceSelector),
    };
  });
  const entries = json.map(toEntry);
  for (const [index, { podSelector, namespaceSelector }] of entries.entries()) {
    if (podSelector.length + namespaceSelector.length === 0)
      warnings.push(`entry ${index + 1} selects every pod of every namespace`);
  }
  const more = warnings.length - MAX_WARNINGS;
  if (more > 0) warnings.splice(MAX_WARNINGS, more, `and ${more} more of that kind`);
  return { entries, json, warnings };
}

/** One line of JSON, which reads back as the same selectors. */
export function renderEnablementSelectors({ json }: EnablementSelectors): string {
  return JSON.stringify(json);
}

/** @param namespaceLabels undefined: not known; then only what does not depend on them is decided. */
export function matchEnablement(
  { entries }: EnablementSelectors,
  podLabels: Labels,
  namespaceLabels: Labels | undefined,
): EnablementMatch {
  const candidates = entries.filter(({ podSelector }) => matchesLabels(podSelector, podLabels));
  const found = candidates.find(
    ({ namespaceSelector }) =>
      namespaceSelector.length === 0 || (namespaceLabels && matchesLabels(namespaceSelector, namespaceLabels)),
  );
  if (found !== undefined) return { kind: "in", by: found.enrollsBy };
  return { kind: namespaceLabels === undefined && candidates.length > 0 ? "unknown" : "out" };
}

/**
 * Whether pods may be enrolled in a namespace of these labels without asking for it themselves. That is upstream's test
 * (some selector for namespaces, not an empty one, matches), and true of any namespace where an entry without one takes pods
 * without labels.
 */
export function enrollsByNamespace({ entries }: EnablementSelectors, namespaceLabels: Labels): boolean {
  return entries.some(
    ({ enrollsBy, namespaceSelector }) =>
      enrollsBy === "namespace" && matchesLabels(namespaceSelector, namespaceLabels),
  );
}

/** Whether a pod of these labels asks for it by itself, whatever its namespace. */
export function enrollsByPod({ entries }: EnablementSelectors, podLabels: Labels): boolean {
  return entries.some(({ enrollsBy, podSelector }) => enrollsBy === "pod" && matchesLabels(podSelector, podLabels));
}

/** A label by which the selectors go, as it is now. */
export interface EnablementLabel {
  readonly of: "pod" | "namespace";
  readonly key: string;
  /** Undefined: there is no such label. */
  readonly value: string | undefined;
  /** False: these labels are not known. */
  readonly isKnown: boolean;
}

/** The labels that decide, the pod's before the namespace's, in the order in which the selectors name them. */
export function enablementLabels(
  { entries }: EnablementSelectors,
  podLabels: Labels,
  namespaceLabels: Labels | undefined,
): EnablementLabel[] {
  const keysOf = (selector: "podSelector" | "namespaceSelector") =>
    new Set(entries.flatMap((entry) => entry[selector].map(({ key }) => key)));
  const look = (of: "pod" | "namespace", labels: Labels | undefined) => (key: string) => ({
    ...{ of, key, isKnown: labels !== undefined },
    value: labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined,
  });
  return [
    ...Array.from(keysOf("podSelector"), look("pod", podLabels)),
    ...Array.from(keysOf("namespaceSelector"), look("namespace", namespaceLabels)),
  ];
}

/** What holds where nobody says anything: the default of upstream's chart (manifests/charts/istio-cni/values.yaml:59-65@1.30.3). */
export const DEFAULT_ENABLEMENT_SELECTORS: EnablementSelectors = parseEnablementSelectors(`
- podSelector: {matchLabels: {istio.io/dataplane-mode: ambient}}
- podSelector: {matchExpressions: [{key: istio.io/dataplane-mode, operator: NotIn, values: [none]}]}
  namespaceSelector: {matchLabels: {istio.io/dataplane-mode: ambient}}
`);

type Fail = (state: string, accepted: string) => SelectorError;
/** Where we are in the document, for messages. */
type Reader = { readonly place: string; readonly fail: Fail; readonly warnings: string[] };
type Fields<K extends string> = Readonly<Partial<Record<K, PlainYaml>>>;

function readYaml(text: string, fail: Fail): PlainYaml {
  try {
    return parsePlainYaml(text, { refusesAmbiguous: true });
  } catch (error) {
    if (!(error instanceof PlainYamlError)) throw error;
    throw fail(`line ${error.line} ${error.detail}`, `${ENTRY_FORM} in YAML or JSON`);
  }
}

function within(reader: Reader, key: string): Reader {
  return { ...reader, place: `${key} of ${reader.place}` };
}

/** The fields of a mapping by the names in `known`, which Go's decoder takes in any case; null is a mapping without fields. */
function openFields<K extends string>(reader: Reader, value: PlainYaml, known: readonly K[], form: string): Fields<K> {
  const fields: Partial<Record<K, PlainYaml>> = {};
  if (value === null) return fields;
  if (!isRecord(value)) throw reader.fail(`${reader.place} is ${describe(value)}`, form);
  for (const [key, field] of Object.entries(value)) {
    const name = known.find((candidate) => candidate.toLowerCase() === key.toLowerCase());
    if (name === undefined)
      reader.warnings.push(
        `${reader.place}: ${quoteText(key)} means nothing and is ignored; known: ${known.join(", ")}`,
      );
    else if (Object.hasOwn(fields, name)) throw reader.fail(`${reader.place} has ${name} twice`, form);
    else fields[name] = field;
  }
  return fields;
}

function readSelector(reader: Reader, value: PlainYaml = null): LabelSelectorJson {
  const { matchLabels, matchExpressions } = openFields(
    reader,
    value,
    ["matchLabels", "matchExpressions"],
    SELECTOR_FORM,
  );
  const labels = readLabels(within(reader, "matchLabels"), matchLabels);
  const expressions = readList(within(reader, "matchExpressions"), matchExpressions, "a list of expressions").map(
    (item, index) => readExpression(within(reader, `matchExpressions[${index}]`), item),
  );
  return {
    ...(Object.keys(labels).length > 0 && { matchLabels: labels }),
    ...(expressions.length > 0 && { matchExpressions: expressions }),
  };
}

function readLabels(reader: Reader, value: PlainYaml = null): Record<string, string> {
  if (value === null) return {};
  if (!isRecord(value)) throw reader.fail(`${reader.place} is ${describe(value)}`, "a mapping of label keys to values");
  const entries = Object.entries(value).map(([key, item]): [string, string] => [
    checkKey(reader, key),
    checkValue(within(reader, quoteText(key)), item),
  ]);
  return Object.fromEntries(entries);
}

function readExpression(reader: Reader, value: PlainYaml) {
  const form = "an expression {key: …, operator: …, values: […]}";
  const fields = openFields(reader, value, ["key", "operator", "values"], form);
  const key = checkKey(within(reader, "key"), fields.key ?? null);
  const operator = OPERATORS.find((known) => known === fields.operator);
  if (operator === undefined) {
    const found = describe(fields.operator ?? null);
    throw reader.fail(`operator of ${reader.place} is ${found}`, OPERATORS.join(", "));
  }
  const list = within(reader, "values");
  const values = readList(list, fields.values, "a list of label values").map((item) => checkValue(list, item));
  const takesValues = operator === "In" || operator === "NotIn";
  if (takesValues !== values.length > 0) {
    const found = values.length === 0 ? "empty" : "not empty";
    throw reader.fail(
      `${list.place} is ${found}`,
      `${takesValues ? "at least one value" : "no value"} for ${operator}`,
    );
  }
  return { key, operator, ...(takesValues && { values }) };
}

function readList(reader: Reader, value: PlainYaml = null, form: string): readonly PlainYaml[] {
  if (value === null) return [];
  if (Array.isArray(value)) return value;
  throw reader.fail(`${reader.place} is ${describe(value)}`, form);
}

function checkKey(reader: Reader, key: PlainYaml): string {
  if (typeof key === "string" && isLabelKey(key)) return key;
  throw reader.fail(`${reader.place} is ${describe(key)}`, LABEL_KEY_ACCEPTED);
}

/** Null is the empty text, as in Go's decoder. */
function checkValue(reader: Reader, value: PlainYaml): string {
  const text = value ?? "";
  if (typeof text === "string" && isLabelValue(text)) return text;
  throw reader.fail(`${reader.place} is ${describe(value)}`, LABEL_VALUE_ACCEPTED);
}

function toEntry({ podSelector, namespaceSelector }: EnablementEntryJson): EnablementEntry {
  const pod = toSelector(podSelector);
  const namespace = toSelector(namespaceSelector);
  const enrollsBy = namespace.length > 0 || matchesLabels(pod, {}) ? "namespace" : "pod";
  return { podSelector: pod, namespaceSelector: namespace, enrollsBy };
}

function toSelector({ matchLabels = {}, matchExpressions = [] }: LabelSelectorJson): LabelSelector {
  return [
    ...Object.entries(matchLabels).map(([key, value]): LabelRequirement => ({ key, operator: "In", values: [value] })),
    ...matchExpressions.map(({ key, operator, values = [] }) => ({ key, operator, values })),
  ];
}

function describe(value: PlainYaml): string {
  if (value === null) return "absent";
  if (typeof value === "string") return quoteText(value);
  return Array.isArray(value) ? "a list" : "a mapping";
}
