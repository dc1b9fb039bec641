import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decideRedirection,
  type Redirection,
  type RedirectionFacts,
  redirectionOf,
  redirectionPatch,
} from "./ambient-redirection.ts";

const RULES = ["stand", "absent", "unknown"] as const;
const ZTUNNEL = ["acknowledged", "sent", "refused", "absent"] as const;
const CURRENT = ["enabled", "pending", "none"] as const;

/** For a pod that should be in: what `enabled`, `pending` and `none` become. */
const TABLE: Readonly<Record<`${(typeof RULES)[number]} ${(typeof ZTUNNEL)[number]}`, readonly Redirection[]>> = {
  "stand acknowledged": ["enabled", "enabled", "enabled"],
  "stand sent": ["enabled", "pending", "pending"],
  "stand refused": ["pending", "pending", "pending"],
  "stand absent": ["enabled", "pending", "pending"],
  "absent acknowledged": ["pending", "pending", "none"],
  "absent sent": ["pending", "pending", "none"],
  "absent refused": ["pending", "pending", "none"],
  "absent absent": ["pending", "pending", "none"],
  "unknown acknowledged": ["enabled", "pending", "none"],
  "unknown sent": ["enabled", "pending", "none"],
  "unknown refused": ["pending", "pending", "none"],
  "unknown absent": ["enabled", "pending", "none"],
};

const all = RULES.flatMap((rules) =>
  ZTUNNEL.flatMap((ztunnel) => CURRENT.map((current) => ({ rules, ztunnel, current }))),
);

for (const { rules, ztunnel, current } of all) {
  const expected = TABLE[`${rules} ${ztunnel}`][CURRENT.indexOf(current)];
  test(`decideRedirection() makes ${expected} of ${current} with rules ${rules} and ztunnel ${ztunnel}`, () => {
    assert.equal(decideRedirection({ wanted: "in", rules, ztunnel, current }), expected);
  });
}

test("decideRedirection() never claims anew what has not been seen", () => {
  for (const facts of all) {
    for (const wanted of ["in", "out", "over", "unknown"] as const) {
      const isNew = facts.current !== "enabled" && decideRedirection({ wanted, ...facts }) === "enabled";
      assert.equal(isNew && !(wanted === "in" && facts.rules === "stand" && facts.ztunnel === "acknowledged"), false);
    }
  }
});

test("decideRedirection() takes everything back from a pod that is out or over, and nothing while that is not known", () => {
  for (const facts of all) {
    assert.equal(decideRedirection({ wanted: "out", ...facts }), "none");
    assert.equal(decideRedirection({ wanted: "over", ...facts }), "none");
    assert.equal(decideRedirection({ wanted: "unknown", ...facts }), facts.current);
  }
});

test("decideRedirection() comes to rest: asked again with its own answer it gives the same", () => {
  for (const facts of all) {
    for (const wanted of ["in", "out", "over", "unknown"] as const) {
      const once: RedirectionFacts = { wanted, ...facts, current: decideRedirection({ wanted, ...facts }) };
      assert.equal(decideRedirection(once), once.current);
    }
  }
});

test("redirectionOf() knows upstream's two words and nothing else", () => {
  const name = "ambient.istio.io/redirection";
  const values = ["enabled", "pending", "disabled", "Enabled", "", "true"];
  assert.deepEqual(
    values.map((value) => redirectionOf({ [name]: value })),
    ["enabled", "pending", "none", "none", "none", "none"],
  );
  assert.equal(redirectionOf({}), "none");
});

test("redirectionPatch() is the merge patch that upstream sends", () => {
  const texts = CURRENT.map((value) => JSON.stringify(redirectionPatch(value)));
  assert.deepEqual(texts, [
    '{"metadata":{"annotations":{"ambient.istio.io/redirection":"enabled"}}}',
    '{"metadata":{"annotations":{"ambient.istio.io/redirection":"pending"}}}',
    '{"metadata":{"annotations":{"ambient.istio.io/redirection":null}}}',
  ]);
});
