// The grammar of selectors, beyond what the recorded transcript of a real server covers.
import { deepEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { plainPod } from "./pod-fixtures.ts";
import { findResource } from "./resources.ts";
import { parseFieldSelector, parseLabelSelector } from "./selectors.ts";

const resource = findResource("", "v1", "pods");
const pods = [
  plainPod({ name: "a", labels: { tier: "front", weight: "5" } }),
  plainPod({ name: "b", labels: { tier: "", "example.com/zone": "x" }, nodeName: "" }),
];

test("parseLabelSelector() selects as Kubernetes does", () => {
  const table: readonly (readonly [string, string])[] = [
    ["", "ab"],
    ["tier", "ab"],
    ["tier=", "b"],
    ["tier!=front", "b"],
    ["weight!=5", "b"],
    ["! weight", "b"],
    ["example.com/zone in ( x , y )", "b"],
    ["tier notin (front,back)", "b"],
    ["weight notin (5)", "b"],
    ["weight>4", "a"],
    ["weight<5", ""],
    ["tier=front,app=web", "a"],
  ];
  const select = (text: string): string =>
    pods
      .filter(parseLabelSelector(text))
      .map((pod) => pod.metadata.name)
      .join("");
  deepEqual(
    table.map(([text]) => [text, select(text)]),
    table,
  );
});

test("parseLabelSelector() refuses what cannot be read", () => {
  for (const text of ["a=b=c", "=b", "a in b", "a in (b", "a,,b", "a=%", "-a"]) {
    throws(() => parseLabelSelector(text), { name: "ApiError", code: 400 }, text);
  }
});

test("parseFieldSelector() reads escapes, and unset fields as empty", () => {
  if (resource === undefined) throw new Error("no pods in the table");
  const select = (text: string): string =>
    pods
      .filter(parseFieldSelector(text, resource))
      .map((pod) => pod.metadata.name)
      .join("");
  deepEqual(
    [
      "spec.nodeName=",
      "spec.nodeName!=",
      "metadata.name==a",
      "metadata.name=a\\,b",
      "metadata.name=a,spec.nodeName=node-1",
    ].map(select),
    ["b", "a", "a", "", "a"],
  );
  for (const text of ["constructor=x", "spec.unknown=1", "metadata.name", "=x"]) {
    throws(() => parseFieldSelector(text, resource), { name: "ApiError", code: 400 }, text);
  }
});
