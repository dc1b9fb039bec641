// The authorizer of a real cluster, for users that are given roles and nothing else: which requests the roles allow that are
// bound to a service account (k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac@v1.35). Aggregated roles, groups other than
// those of service accounts and non-resource URLs are not known here.
import type { User } from "./credentials.ts";
import { type JsonObject, readPath, readText } from "./kube-object.ts";

interface Grant {
  /** Undefined: everywhere. */
  readonly namespace: string | undefined;
  readonly rule: unknown;
}

/** The service account as a user who may do what `objects` (roles and bindings among others) grant it, and no more.
 * @throws {Error} when a binding names a role that is not there. */
export function createServiceAccountUser(namespace: string, name: string, objects: readonly JsonObject[]): User {
  const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
  const isSubject = (subject: unknown): boolean =>
    readText(subject, "kind") === "ServiceAccount"
      ? readText(subject, "name") === name && readText(subject, "namespace") === namespace
      : readText(subject, "kind") === "Group" && groups.includes(readText(subject, "name"));
  const grants = objects
    .filter(({ kind }) => kind === "ClusterRoleBinding" || kind === "RoleBinding")
    .filter((binding) => list(binding["subjects"]).some(isSubject))
    .flatMap((binding) => grantsOf(binding, objects));
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    may: ({ verb, resource, subresource, namespace: asked, name: objectName }) =>
      grants.some(
        ({ namespace: granted, rule }) =>
          (granted === undefined || granted === asked) &&
          allows(rule, "verbs", verb) &&
          allows(rule, "apiGroups", resource.group) &&
          (allows(rule, "resources", subresource === "" ? resource.plural : `${resource.plural}/${subresource}`) ||
            (subresource !== "" && list(readPath(rule, "resources")).includes(`*/${subresource}`))) &&
          isNamed(rule, objectName),
      ),
  };
}

function grantsOf(binding: JsonObject, objects: readonly JsonObject[]): readonly Grant[] {
  const kind = readText(binding, "roleRef", "kind");
  const roleName = readText(binding, "roleRef", "name");
  const own = binding["kind"] === "RoleBinding" ? readText(binding, "metadata", "namespace") : undefined;
  const role = objects.find(
    (object) =>
      object["kind"] === kind &&
      readText(object, "metadata", "name") === roleName &&
      (kind === "ClusterRole" || readText(object, "metadata", "namespace") === own),
  );
  if (role === undefined) throw new Error(`Cannot authorize: there is no ${kind} ${roleName}, which is bound`);
  return list(role["rules"]).map((rule) => ({ namespace: own, rule }));
}

function allows(rule: unknown, field: "verbs" | "apiGroups" | "resources", value: string): boolean {
  const allowed = list(readPath(rule, field));
  return allowed.includes("*") || allowed.includes(value);
}

// A create has no name yet, and is never allowed by a rule for names.
function isNamed(rule: unknown, name: string): boolean {
  const names = list(readPath(rule, "resourceNames"));
  return names.length === 0 || names.includes(name);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
