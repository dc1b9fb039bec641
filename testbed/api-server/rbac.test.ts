import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "./kube-object.ts";
import { createServiceAccountUser } from "./rbac.ts";
import { findResource } from "./resources.ts";
import type { Verb } from "./routes.ts";

const SUBJECTS = [{ kind: "ServiceAccount", name: "agent", namespace: "system" }];

function role(kind: "Role" | "ClusterRole", name: string, rule: JsonObject): readonly JsonObject[] {
  const metadata = { name, ...(kind === "Role" ? { namespace: "system" } : {}) };
  return [
    { kind, metadata, rules: [{ apiGroups: [""], verbs: ["get"], ...rule }] },
    { kind: `${kind}Binding`, metadata, roleRef: { kind, name }, subjects: SUBJECTS },
  ];
}

/** Whether the agent may do this, as "verb resource namespace/name". */
function may(objects: readonly JsonObject[], text: string, account = "agent"): boolean {
  const [verb = "", what = "", where = ""] = text.split(" ");
  const [plural = "", subresource = ""] = what.split("/");
  const [namespace = "", name = ""] = where.split("/");
  const resource = findResource("", "v1", plural) ?? findResource("apps", "v1", plural);
  assert.ok(resource);
  const user = createServiceAccountUser("system", account, objects);
  return user.may?.({ verb: verb as Verb, resource, subresource, namespace, name }) ?? true;
}

test("createServiceAccountUser() allows what a bound role names, and nothing else", () => {
  const objects = role("ClusterRole", "reader", { resources: ["pods"], verbs: ["get", "list"] });
  assert.ok(may(objects, "get pods shop/web"));
  assert.ok(may(objects, "list pods"));
  for (const other of ["watch pods", "get namespaces /shop", "get pods/status shop/web", "get daemonsets shop/x"])
    assert.ok(!may(objects, other), other);
  assert.ok(!may(objects, "get pods shop/web", "somebody"));
  assert.ok(!may(objects.slice(0, 1), "get pods shop/web"), "without a binding");
});

test("createServiceAccountUser() keeps a Role to its namespace", () => {
  const objects = role("Role", "local", { resources: ["pods"] });
  assert.ok(may(objects, "get pods system/x"));
  assert.ok(!may(objects, "get pods shop/x"));
  assert.ok(!may(objects, "get pods"));
});

test("createServiceAccountUser() reads names, subresources, groups and stars", () => {
  const named = role("ClusterRole", "named", { resources: ["daemonsets"], apiGroups: ["apps"], resourceNames: ["a"] });
  assert.ok(may(named, "get daemonsets x/a"));
  assert.ok(!may(named, "get daemonsets x/b"));
  assert.ok(!may(named, "list daemonsets"));
  const status = role("ClusterRole", "status", { resources: ["pods/status"], verbs: ["patch"] });
  assert.ok(may(status, "patch pods/status a/b"));
  assert.ok(!may(status, "patch pods a/b"));
  const all = role("ClusterRole", "all", { resources: ["*"], apiGroups: ["*"], verbs: ["*"] });
  assert.ok(may(all, "deletecollection pods shop/"));
  const anyStatus = role("ClusterRole", "any", { resources: ["*/status"], verbs: ["patch"] });
  assert.ok(may(anyStatus, "patch pods/status a/b") && !may(anyStatus, "patch pods a/b"));
});

test("createServiceAccountUser() refuses a binding to a role that is not there", () => {
  const [, binding] = role("ClusterRole", "gone", {});
  assert.ok(binding);
  assert.throws(() => may([binding], "get pods a/b"), /Cannot authorize: there is no ClusterRole gone/);
});
