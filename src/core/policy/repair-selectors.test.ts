import assert from "node:assert/strict";
import { test } from "node:test";
import { SelectorError } from "../kube/label-selector.ts";
import { parsePod } from "../kube/pod.ts";
import { parsePodSelectors } from "./repair-selectors.ts";

const pod = parsePod({
  metadata: {
    uid: "u1",
    name: "web-0",
    namespace: "shop",
    resourceVersion: "1",
    labels: { app: "web", "team.example.com/name": "a,b", tier: "2", empty: "" },
  },
  spec: { nodeName: "node-1", restartPolicy: "Always", serviceAccountName: "web", containers: [{ name: "app" }] },
  status: { phase: "Pending", podIPs: [{ ip: "10.0.0.5" }, { ip: "fd00::5" }] },
});

const isSelected = (labels: string, fields = ""): boolean => parsePodSelectors({ labels, fields })(pod);

const LABELS: readonly [string, boolean][] = [
  ["", true],
  [" ", true],
  ["app", true],
  ["!app", false],
  ["missing", false],
  ["!missing", true],
  ["app=web", true],
  ["app==web", true],
  ["app = web", true],
  ["app!=web", false],
  ["missing!=web", true],
  ["missing=web", false],
  ["empty=", true],
  ["empty!=", false],
  ["app in (api,web)", true],
  ["app in ( api , web )", true],
  ["app notin (api,web)", false],
  ["missing in (web)", false],
  ["missing notin (web)", true],
  ["empty in (web,)", true],
  ["tier>1", true],
  ["tier<2", false],
  ["app>1", false],
  ["app=web,tier in (1,2),!missing", true],
  ["app=web,tier=3", false],
  ["team.example.com/name", true],
  ["toString", false],
];

for (const [selector, expected] of LABELS) {
  test(`label selector ${JSON.stringify(selector)} ${expected ? "selects" : "passes over"} the pod`, () => {
    assert.equal(isSelected(selector), expected);
  });
}

const FIELDS: readonly [string, boolean][] = [
  ["", true],
  ["metadata.name=web-0", true],
  ["metadata.name==web-0", true],
  ["metadata.namespace!=shop", false],
  ["spec.nodeName=node-1,status.phase=Pending", true],
  ["status.phase!=Running,spec.restartPolicy=Never", false],
  ["spec.serviceAccountName=web", true],
  ["spec.hostNetwork=false", true],
  ["status.podIP=10.0.0.5", true],
  ["metadata.name=web\\,0", false],
];

for (const [selector, expected] of FIELDS) {
  test(`field selector ${JSON.stringify(selector)} ${expected ? "selects" : "passes over"} the pod`, () => {
    assert.equal(isSelected("", selector), expected);
  });
}

for (const [labels, fields] of [
  ["app=", "metadata.name"],
  ["=web", ""],
  ["app=web,", ""],
  ["app in web", ""],
  ["app in (a b)", ""],
  ["app=a=b", ""],
  ["app=web)", ""],
  ["a".repeat(9000), ""],
  ["", "spec.schedulerName=default-scheduler"],
  ["", "constructor=x"],
  ["", "metadata.name=web-0,"],
  ["", "metadata.name=a\\"],
] as const) {
  const text = (labels || fields).slice(0, 40);
  test(`parsePodSelectors() refuses ${JSON.stringify(text)} and says what is accepted`, () => {
    assert.throws(
      () => parsePodSelectors({ labels, fields }),
      (error) => {
        assert.ok(error instanceof SelectorError);
        assert.match(error.message, /^Cannot use REPAIR_(LABEL|FIELD)_SELECTORS: .+; accepted: .+/);
        return true;
      },
    );
  });
}
