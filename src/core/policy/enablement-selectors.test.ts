import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { SelectorError } from "../kube/label-selector.ts";
import {
  DEFAULT_ENABLEMENT_SELECTORS,
  type EnablementEntryJson,
  enablementLabels,
  enrollsByNamespace,
  enrollsByPod,
  matchEnablement,
  parseEnablementSelectors,
  renderEnablementSelectors,
} from "./enablement-selectors.ts";

const MODE = "istio.io/dataplane-mode";

/** The chart's default, as Helm's toYaml renders it. */
const HELM = `- podSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
- namespaceSelector:
    matchLabels:
      istio.io/dataplane-mode: ambient
  podSelector:
    matchExpressions:
    - key: istio.io/dataplane-mode
      operator: NotIn
      values:
      - none
`;

const CHART: readonly EnablementEntryJson[] = [
  { podSelector: { matchLabels: { [MODE]: "ambient" } }, namespaceSelector: {} },
  {
    podSelector: { matchExpressions: [{ key: MODE, operator: "NotIn", values: ["none"] }] },
    namespaceSelector: { matchLabels: { [MODE]: "ambient" } },
  },
];

describe("parseEnablementSelectors()", () => {
  const forms: Readonly<Record<string, string>> = {
    "Helm's block form": HELM,
    "flow form": `[{podSelector: {matchLabels: {${MODE}: ambient}}},
      {podSelector: {matchExpressions: [{key: ${MODE}, operator: NotIn, values: [none]}]},
       namespaceSelector: {matchLabels: {${MODE}: ambient}}}]`,
    JSON: JSON.stringify(CHART),
    "JSON with line breaks": JSON.stringify(CHART, undefined, 2),
    "keys in another case, as Go takes them": HELM.replaceAll("podSelector", "podselector").replace("matchL", "MatchL"),
    "quotes and comments": `# mesh\n${HELM.replaceAll("ambient", '"ambient" # yes').replace("none", "'none'")}`,
  };
  for (const [name, text] of Object.entries(forms)) {
    it(`reads ${name}`, () => {
      assert.deepEqual(parseEnablementSelectors(text), DEFAULT_ENABLEMENT_SELECTORS);
    });
  }

  it("writes what upstream's agent writes into the conflist", () => {
    assert.deepEqual(DEFAULT_ENABLEMENT_SELECTORS.json, CHART);
    assert.deepEqual(parseEnablementSelectors("- {}").json, [{ podSelector: {}, namespaceSelector: {} }]);
  });

  it("reads no entry where there is none", () => {
    for (const text of ["", "[]", "null", "# nothing", "---"])
      assert.deepEqual(parseEnablementSelectors(text), { entries: [], json: [], warnings: [] });
  });

  it("reads null, absent and empty selectors as everything, and says when an entry takes every pod", () => {
    for (const text of [
      "- ",
      "- {}",
      "- null",
      "- podSelector:",
      "- podSelector: {matchLabels: }",
      "[{namespaceSelector: null}]",
    ]) {
      const { entries, warnings } = parseEnablementSelectors(text);
      assert.deepEqual(entries, [{ podSelector: [], namespaceSelector: [], enrollsBy: "namespace" }], text);
      assert.deepEqual(warnings, ["entry 1 selects every pod of every namespace"]);
    }
  });

  it("reads a value of null as the empty text, as Go does", () => {
    const [entry] = parseEnablementSelectors(`- podSelector: {matchLabels: {a: }}`).entries;
    assert.deepEqual(entry?.podSelector, [{ key: "a", operator: "In", values: [""] }]);
  });

  it("ignores unknown keys, and says so", () => {
    const { json, warnings } = parseEnablementSelectors(
      "- podSelecter: {matchLabels: {a: b}}\n  podSelector: {match: 1}",
    );
    assert.deepEqual(json, [{ podSelector: {}, namespaceSelector: {} }]);
    assert.deepEqual(warnings, [
      'entry 1: "podSelecter" means nothing and is ignored; known: podSelector, namespaceSelector',
      'podSelector of entry 1: "match" means nothing and is ignored; known: matchLabels, matchExpressions',
      "entry 1 selects every pod of every namespace",
    ]);
  });

  const EXPRESSION = (rest: string) => `- {}\n- podSelector: {matchExpressions: [{${rest}}]}`;
  const refused: readonly (readonly [text: string, message: string])[] = [
    ["podSelector: {}", "it is a mapping; accepted: a list of entries"],
    ["ambient", 'it is "ambient"; accepted: a list of entries'],
    ["- ambient", 'entry 1 is "ambient"; accepted: a list of entries'],
    ["- podSelector: []", "podSelector of entry 1 is a list; accepted: a label selector"],
    ["- podSelector: x", 'podSelector of entry 1 is "x"; accepted: a label selector'],
    ["- podSelector: {}\n  PodSelector: {}", "entry 1 has podSelector twice; accepted: "],
    ["- podSelector: {matchLabels: [a]}", "matchLabels of podSelector of entry 1 is a list; accepted: a mapping"],
    ["- podSelector: {matchLabels: {a b: c}}", 'matchLabels of podSelector of entry 1 is "a b"; accepted: a label key'],
    [
      "- podSelector: {matchLabels: {a: b c}}",
      '"a" of matchLabels of podSelector of entry 1 is "b c"; accepted: a label value',
    ],
    [
      "- podSelector: {matchLabels: {a: {}}}",
      '"a" of matchLabels of podSelector of entry 1 is a mapping; accepted: a label value',
    ],
    [
      "- podSelector: {matchLabels: {a: yes}}",
      "line 1 has yes without quotes, which YAML may take for another value; accepted: ",
    ],
    [
      "- podSelector: {matchLabels: {a: 1.10}}",
      "line 1 has 1.10 without quotes, which YAML may take for another value; accepted: ",
    ],
    [
      "- namespaceSelector: {matchExpressions: {}}",
      "matchExpressions of namespaceSelector of entry 1 is a mapping; accepted: a list",
    ],
    [
      EXPRESSION("operator: Exists"),
      "key of matchExpressions[0] of podSelector of entry 2 is absent; accepted: a label key",
    ],
    [
      EXPRESSION("key: a"),
      "operator of matchExpressions[0] of podSelector of entry 2 is absent; accepted: In, NotIn, Exists, DoesNotExist",
    ],
    [
      EXPRESSION("key: a, operator: in, values: [b]"),
      'operator of matchExpressions[0] of podSelector of entry 2 is "in"; accepted: In',
    ],
    [
      EXPRESSION("key: a, operator: In"),
      "values of matchExpressions[0] of podSelector of entry 2 is empty; accepted: at least one value for In",
    ],
    [
      EXPRESSION("key: a, operator: NotIn, values: []"),
      "values of matchExpressions[0] of podSelector of entry 2 is empty; accepted: at least",
    ],
    [
      EXPRESSION("key: a, operator: Exists, values: [b]"),
      "values of matchExpressions[0] of podSelector of entry 2 is not empty; accepted: no value for Exists",
    ],
    [
      EXPRESSION("key: a, operator: In, values: b"),
      'values of matchExpressions[0] of podSelector of entry 2 is "b"; accepted: a list',
    ],
    [
      EXPRESSION("key: a, operator: In, values: [[b]]"),
      "values of matchExpressions[0] of podSelector of entry 2 is a list; accepted: a label value",
    ],
    ["- podSelector: {matchLabels: {a: b", "line 1 is the last and leaves a bracket open; accepted: a list of entries"],
    ["- podSelector: |\n    {}", "line 1 has a value that begins with |; accepted: a list of entries"],
  ];
  for (const [text, message] of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseEnablementSelectors(text),
        (error) => {
          assert.ok(error instanceof SelectorError);
          assert.deepEqual([error.option, error.value], ["AMBIENT_ENABLEMENT_SELECTOR", text]);
          assert.ok(error.message.startsWith(`Cannot use AMBIENT_ENABLEMENT_SELECTOR: ${message}`), error.message);
          return true;
        },
      );
    });
  }

  it("abridges what it quotes", () => {
    assert.throws(
      () => parseEnablementSelectors(`- ${"x".repeat(5000)}`),
      (error) => error instanceof Error && error.message.length < 400,
    );
  });
});

/** Pods and namespaces by their dataplane-mode label, and what the chart's default makes of them (contract 7.1). */
const TABLE: readonly (readonly [pod: string | undefined, namespace: string | undefined, expected: string])[] = [
  [undefined, undefined, "out"],
  [undefined, "ambient", "in by namespace"],
  [undefined, "none", "out"],
  ["ambient", undefined, "in by pod"],
  ["ambient", "ambient", "in by pod"],
  ["ambient", "none", "in by pod"],
  ["none", undefined, "out"],
  ["none", "ambient", "out"],
  ["other", "ambient", "in by namespace"],
  ["other", undefined, "out"],
  ["", "ambient", "in by namespace"],
];

const labelled = (value: string | undefined): Record<string, string> => (value === undefined ? {} : { [MODE]: value });
const brief = (match: ReturnType<typeof matchEnablement>): string =>
  match.kind === "in" ? `in by ${match.by}` : match.kind;

describe("matchEnablement()", () => {
  for (const [pod, namespace, expected] of TABLE) {
    it(`is ${expected} for a pod of ${pod ?? "no"} mode in a namespace of ${namespace ?? "no"} mode`, () => {
      assert.equal(brief(matchEnablement(DEFAULT_ENABLEMENT_SELECTORS, labelled(pod), labelled(namespace))), expected);
    });
  }

  it("concludes nothing from a namespace that is not known, unless that does not matter", () => {
    const match = (pod: string | undefined) =>
      brief(matchEnablement(DEFAULT_ENABLEMENT_SELECTORS, labelled(pod), undefined));
    assert.deepEqual(
      [match(undefined), match("other"), match("ambient"), match("none")],
      ["unknown", "unknown", "in by pod", "out"],
    );
    assert.equal(brief(matchEnablement(parseEnablementSelectors("[]"), labelled("ambient"), undefined)), "out");
  });

  it("wants both selectors of one entry, not one each of two", () => {
    const selectors = parseEnablementSelectors(`
- {podSelector: {matchLabels: {a: "1"}}, namespaceSelector: {matchLabels: {b: "1"}}}
- {podSelector: {matchLabels: {a: "2"}}, namespaceSelector: {matchLabels: {b: "2"}}}`);
    assert.equal(brief(matchEnablement(selectors, { a: "1" }, { b: "2" })), "out");
    assert.equal(brief(matchEnablement(selectors, { a: "2" }, { b: "2" })), "in by namespace");
  });
});

describe("who enrolls", () => {
  const byNamespace = (text: string, labels: Record<string, string>) =>
    enrollsByNamespace(parseEnablementSelectors(text), labels);

  it("is a namespace that some selector for namespaces matches, but not an empty one", () => {
    assert.deepEqual(
      [undefined, "ambient", "none"].map((mode) => enrollsByNamespace(DEFAULT_ENABLEMENT_SELECTORS, labelled(mode))),
      [false, true, false],
    );
    assert.equal(byNamespace("- namespaceSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}", {}), true);
    assert.equal(
      byNamespace("- {podSelector: {matchLabels: {a: b}}, namespaceSelector: {matchLabels: {c: d}}}", { c: "d" }),
      true,
    );
  });

  it("is every namespace where an entry takes pods without any label", () => {
    assert.equal(byNamespace("- {}", {}), true);
    assert.equal(byNamespace("- podSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}]}", {}), true);
    assert.equal(byNamespace("- podSelector: {matchExpressions: [{key: a, operator: Exists}]}", {}), false);
  });

  it("is a pod where only its own labels decide", () => {
    assert.deepEqual(
      [undefined, "ambient", "none"].map((mode) => enrollsByPod(DEFAULT_ENABLEMENT_SELECTORS, labelled(mode))),
      [false, true, false],
    );
    assert.equal(enrollsByPod(parseEnablementSelectors("- {}"), {}), false);
  });

  it("tells by which labels it goes", () => {
    const told = (namespaceLabels: Record<string, string> | undefined) =>
      enablementLabels(DEFAULT_ENABLEMENT_SELECTORS, {}, namespaceLabels);
    const ofPod = { of: "pod", key: MODE, value: undefined, isKnown: true };
    assert.deepEqual(told(labelled("ambient")), [
      ofPod,
      { of: "namespace", key: MODE, value: "ambient", isKnown: true },
    ]);
    assert.deepEqual(told(undefined), [ofPod, { of: "namespace", key: MODE, value: undefined, isKnown: false }]);
  });
});

describe("any selectors", () => {
  const value = fc.constantFrom("x", "y", "");
  const key = fc.constantFrom("a", "b", "istio.io/c");
  const labels = fc.dictionary(key, value, { maxKeys: 3 });
  const expression = fc.oneof(
    fc.record({
      key,
      operator: fc.constantFrom("In" as const, "NotIn" as const),
      values: fc.array(value, { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ key, operator: fc.constantFrom("Exists" as const, "DoesNotExist" as const) }),
  );
  const selector = fc.record({ matchLabels: labels, matchExpressions: fc.array(expression, { maxLength: 3 }) });
  const entries = fc.array(fc.record({ podSelector: selector, namespaceSelector: selector }), { maxLength: 4 });
  type Selector = {
    matchLabels: Record<string, string>;
    matchExpressions: { key: string; operator: string; values?: string[] }[];
  };

  /** By counting what speaks against it. */
  function objections({ matchLabels, matchExpressions }: Selector, given: Record<string, string>): string[] {
    const has = (name: string) => Object.keys(given).includes(name);
    return [
      ...Object.entries(matchLabels).flatMap(([name, wanted]) => (has(name) && given[name] === wanted ? [] : [name])),
      ...matchExpressions.flatMap(({ key: name, operator, values = [] }) => {
        const isListed = has(name) && new Set(values).has(given[name] ?? "?");
        const isMet = new Map([
          ["In", isListed],
          ["NotIn", !isListed],
          ["Exists", has(name)],
          ["DoesNotExist", !has(name)],
        ]).get(operator);
        return isMet === true ? [] : [name];
      }),
    ];
  }

  it("are matched as an independent reading of them is", () => {
    fc.assert(
      fc.property(entries, labels, labels, (document, pod, namespace) => {
        const expected = document.some(
          ({ podSelector, namespaceSelector }) =>
            objections(podSelector, pod).length + objections(namespaceSelector, namespace).length === 0,
        );
        const selectors = parseEnablementSelectors(JSON.stringify(document));
        assert.equal(matchEnablement(selectors, pod, namespace).kind, expected ? "in" : "out");
      }),
      { numRuns: 500 },
    );
  });

  it("never conclude otherwise once the namespace is known", () => {
    fc.assert(
      fc.property(entries, labels, labels, (document, pod, namespace) => {
        const selectors = parseEnablementSelectors(JSON.stringify(document));
        const before = matchEnablement(selectors, pod, undefined).kind;
        if (before !== "unknown") assert.equal(matchEnablement(selectors, pod, namespace).kind, before);
      }),
    );
  });

  it("enroll no pod of which neither pod nor namespace would be told as enrolling", () => {
    fc.assert(
      fc.property(entries, labels, labels, (document, pod, namespace) => {
        const selectors = parseEnablementSelectors(JSON.stringify(document));
        const isTold = enrollsByNamespace(selectors, namespace) || enrollsByPod(selectors, pod);
        if (matchEnablement(selectors, pod, namespace).kind === "in") assert.ok(isTold);
      }),
      { numRuns: 500 },
    );
  });

  it("read back as the same", () => {
    fc.assert(
      fc.property(entries, (document) => {
        const selectors = parseEnablementSelectors(JSON.stringify(document));
        assert.deepEqual(parseEnablementSelectors(renderEnablementSelectors(selectors)), selectors);
      }),
    );
  });
});
