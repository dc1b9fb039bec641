import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isLabelKey, isLabelValue, type LabelRequirement, matchesLabels } from "./label-selector.ts";

/** Per operator: whether labels without the key, with a listed value and with another one meet it. */
const MEANING = {
  In: [false, true, false],
  NotIn: [true, false, true],
  Exists: [false, true, true],
  DoesNotExist: [true, false, false],
} as const;

describe("matchesLabels()", () => {
  for (const [operator, expected] of Object.entries(MEANING) as [LabelRequirement["operator"], readonly boolean[]][]) {
    it(`reads ${operator} as Kubernetes does`, () => {
      const values = operator === "In" || operator === "NotIn" ? ["a", "b"] : [];
      const selector = [{ key: "k", operator, values }];
      assert.deepEqual(
        [{ other: "a" }, { k: "b" }, { k: "c" }].map((labels) => matchesLabels(selector, labels)),
        expected,
      );
    });
  }

  it("takes everything when nothing is required", () => {
    assert.equal(matchesLabels([], {}), true);
  });

  it("tells an empty value from no value", () => {
    assert.equal(matchesLabels([{ key: "k", operator: "In", values: [""] }], { k: "" }), true);
    assert.equal(matchesLabels([{ key: "k", operator: "In", values: [""] }], {}), false);
    assert.equal(matchesLabels([{ key: "k", operator: "NotIn", values: [""] }], { k: "" }), false);
  });

  it("compares whole numbers of 64 bits as Go reads them, and nothing else", () => {
    const meets = (operator: "Gt" | "Lt", bound: string, value: string): boolean =>
      matchesLabels([{ key: "k", operator, values: [bound] }], { k: value });
    for (const [bound, value] of [
      ["7", "8"],
      ["-1", "0"],
      ["07", "8"],
      ["9223372036854775806", "9223372036854775807"],
      ["9007199254740992", "9007199254740993"],
    ] as const) {
      assert.deepEqual([meets("Gt", bound, value), meets("Lt", bound, value)], [true, false], `${value} > ${bound}`);
      assert.deepEqual([meets("Gt", value, bound), meets("Lt", value, bound)], [false, true], `${bound} < ${value}`);
      assert.deepEqual([meets("Gt", value, value), meets("Lt", value, value)], [false, false], value);
    }
    for (const value of ["", "x", "1.5", "0x1", "9223372036854775808"])
      assert.deepEqual([meets("Gt", "0", value), meets("Lt", "0", value)], [false, false], value);
    assert.equal(matchesLabels([{ key: "k", operator: "Gt", values: ["1"] }], {}), false);
  });

  it("finds no label in what every object has", () => {
    assert.equal(matchesLabels([{ key: "constructor", operator: "Exists", values: [] }], {}), false);
  });

  it("agrees with the sets of labels that are told one by one", () => {
    // All labels over two keys and two values, each key possibly absent: nine of them. A selector is what it leaves of them.
    const options = [undefined, "x", "y"];
    const universe = options.flatMap((a) => options.map((b) => ({ a, b })));
    const requirement = fc.record({
      key: fc.constantFrom("a" as const, "b" as const),
      operator: fc.constantFrom("In" as const, "NotIn" as const, "Exists" as const, "DoesNotExist" as const),
      values: fc.constantFrom(["x"], ["y"], ["x", "y"], ["z"]),
    });
    fc.assert(
      fc.property(fc.array(requirement, { maxLength: 4 }), (selector) => {
        let left = new Set(universe);
        for (const { key, operator, values } of selector) {
          const listed = new Set(universe.filter((labels) => values.some((value) => labels[key] === value)));
          const present = new Set(universe.filter((labels) => labels[key] !== undefined));
          const keeps = { In: listed, NotIn: new Set(universe).difference(listed), Exists: present };
          left = operator === "DoesNotExist" ? left.difference(present) : left.intersection(keeps[operator]);
        }
        for (const labels of universe) {
          const given = Object.fromEntries(Object.entries(labels).filter((entry) => entry[1] !== undefined));
          assert.equal(matchesLabels(selector, given as Record<string, string>), left.has(labels));
        }
      }),
    );
  });
});

describe("the syntax of labels", () => {
  const long = "a".repeat(63);
  const prefix = `${"a".repeat(200)}.${"b".repeat(52)}`;
  it("takes the keys that the API server takes", () => {
    for (const key of ["a", "A_b.c-D", "istio.io/dataplane-mode", `${prefix}/${long}`, "0/0"])
      assert.ok(isLabelKey(key), key);
    for (const key of ["", "/a", "a/", "a/b/c", "-a", "a-", "A.io/x", "a..b/x", "a b", `${long}a`, `${prefix}c/a`, "ä"])
      assert.ok(!isLabelKey(key), key);
  });

  it("takes the values that the API server takes", () => {
    for (const value of ["", "a", "1.2_x-Y", long]) assert.ok(isLabelValue(value), value);
    for (const value of ["-a", "a-", "a/b", "a b", `${long}a`, " ", "a\n"]) assert.ok(!isLabelValue(value), value);
  });
});
