// SelfSubjectAccessReview: whether the caller may do something, by the same rules that its requests meet. The one review this
// server knows; nothing is stored (k8s.io/kubernetes pkg/registry/authorization/selfsubjectaccessreview/rest.go).
import type { User } from "./credentials.ts";
import { isJsonObject, type JsonObject } from "./kube-object.ts";
import { findResource } from "./resources.ts";
import type { Verb } from "./routes.ts";

export const ACCESS_REVIEW_PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

const VERSIONS: Readonly<Record<string, string>> = { "events.k8s.io": "v1", apps: "v1", "": "v1" };

/** The review with its answer; undefined: it is none. */
export function reviewAccess(user: User, review: unknown): JsonObject | undefined {
  const spec = isJsonObject(review) ? review["spec"] : undefined;
  const attributes = isJsonObject(spec) ? spec["resourceAttributes"] : undefined;
  if (!isJsonObject(review) || !isJsonObject(attributes)) return undefined;
  const text = (key: string): string => (typeof attributes[key] === "string" ? attributes[key] : "");
  const resource = findResource(text("group"), VERSIONS[text("group")] ?? "", text("resource"));
  const allowed =
    user.may === undefined ||
    (resource !== undefined &&
      user.may({
        verb: text("verb") as Verb,
        resource,
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
      }));
  return { ...review, metadata: {}, status: { allowed } };
}
