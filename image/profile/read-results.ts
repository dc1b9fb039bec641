// What OpenSCAP found when it held an image against a profile (XCCDF 1.2 results), as the attestation tells it.

/** XCCDF 1.2, 6.6.4.2: what may come of a rule. */
const OUTCOMES: readonly string[] = [
  ...["pass", "fail", "error", "unknown", "notapplicable", "notchecked", "notselected", "informational", "fixed"],
];

export interface ProfileResults {
  /** Of all rules that are selected, by what came of them; none with 0. */
  readonly counts: Readonly<Record<string, number>>;
  /** The benchmark's own, from 0 to 100. */
  readonly score: number;
  /** Rules that came out as anything but `pass` and `notapplicable`. */
  readonly open: readonly { readonly rule: string; readonly result: string }[];
}

/** @throws {Error} when there is no result in it, or one that XCCDF does not know: nothing read is not nothing failed. */
export function readResults(xml: string): ProfileResults {
  const results = [
    ...xml.matchAll(/<(?:\w+:)?rule-result\s[^>]*?idref="([^"]+)"[^>]*>[\s\S]*?<(?:\w+:)?result>\s*(\w+)\s*</g),
  ].map(([, rule = "", result = ""]) => ({ rule, result }));
  const score = /<(?:\w+:)?score\s[^>]*system="urn:xccdf:scoring:default"[^>]*>\s*([\d.]+)\s*</.exec(xml)?.[1];
  const selected = results.filter(({ result }) => result !== "notselected");
  if (selected.length === 0 || score === undefined)
    throw new Error("Cannot read the results of a profile: there is no rule or no score in them");
  const counts: Record<string, number> = {};
  for (const { rule, result } of selected) {
    if (!OUTCOMES.includes(result)) throw new Error(`Cannot read the result of ${rule}: it is ${result}`);
    counts[result] = (counts[result] ?? 0) + 1;
  }
  const isOpen = ({ result }: { result: string }): boolean => result !== "pass" && result !== "notapplicable";
  return { counts, score: Number(score), open: selected.filter(isOpen) };
}
