import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isAlreadyExists,
  isConflict,
  isForbidden,
  isNotFound,
  isObjectNotFound,
  isUnauthorized,
  statusError,
} from "./kube-api-error.ts";
import { ResourceRefError, resourcePath } from "./resource-path.ts";

const status = (fields: object): string => JSON.stringify({ kind: "Status", ...fields });

test("statusError() takes reason, message and waiting time from the Status object", () => {
  const body = status({ reason: "TooManyRequests", message: "slow down", details: { retryAfterSeconds: 3 } });
  const error = statusError("list pods", 429, body, 1);
  assert.equal(error.message, "Cannot list pods: the API answered 429, slow down");
  assert.deepEqual([error.status, error.reason, error.retryAfterMs], [429, "TooManyRequests", 3000]);
});

test("statusError() quotes the beginning of an answer that is no Status", () => {
  const error = statusError("list pods", 502, "<html>\r\n<h1>Bad\u0007 Gateway</h1>", 0);
  assert.equal(error.message, 'Cannot list pods: the API answered 502, "<html> <h1>Bad Gateway</h1>"');
  assert.equal(error.retryAfterMs, undefined);
  assert.equal(statusError("list pods", 500, "", 0).message, "Cannot list pods: the API answered 500");
});

test("statusError() does not stumble over a Status of wrong types", () => {
  const error = statusError("x", 500, status({ reason: 7, message: [], details: "no", code: "1" }), 0);
  assert.deepEqual([error.status, error.reason, error.retryAfterMs], [500, "", undefined]);
});

test("the questions asked of an error look at status and reason only", () => {
  const at = (code: number, reason = ""): unknown => statusError("x", code, status({ reason }), 0);
  assert.ok(isNotFound(at(404)) && isUnauthorized(at(401)) && isForbidden(at(403)));
  assert.ok(isConflict(at(409, "Conflict")) && !isConflict(at(409, "AlreadyExists")));
  assert.ok(isAlreadyExists(at(409, "AlreadyExists")) && !isAlreadyExists(at(409)));
  assert.ok(isObjectNotFound(at(404, "NotFound")) && !isObjectNotFound(statusError("x", 404, "404 page not found", 0)));
  assert.ok(!isNotFound(new Error("404")) && !isNotFound(undefined) && !isNotFound(at(403)));
});

test("resourcePath() writes collections, objects and subresources", () => {
  assert.equal(resourcePath({ plural: "pods" }), "/api/v1/pods");
  assert.equal(resourcePath({ plural: "namespaces", name: "shop" }), "/api/v1/namespaces/shop");
  assert.equal(
    resourcePath({ plural: "pods", namespace: "shop", name: "web-0.a", subresource: "status" }),
    "/api/v1/namespaces/shop/pods/web-0.a/status",
  );
  assert.equal(
    resourcePath({ plural: "daemonsets", namespace: "istio-system", name: "istio-cni-node" }),
    "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node",
  );
});

test("resourcePath() refuses names that could leave the path", () => {
  for (const name of [
    "",
    ".",
    "..",
    "a..b",
    "../nodes",
    "a/b",
    "a?watch=1",
    "a#b",
    "A",
    "a%2fb",
    "a b",
    "é",
    "a\n",
    "x".repeat(254),
  ]) {
    assert.throws(() => resourcePath({ plural: "pods", namespace: "shop", name }), ResourceRefError, name);
    assert.throws(() => resourcePath({ plural: "pods", namespace: name }), ResourceRefError, name);
  }
});
