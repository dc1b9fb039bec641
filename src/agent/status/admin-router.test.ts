import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { answerJson, createAdminRouter } from "./admin-router.ts";

const route = createAdminRouter({
  "GET /status": ({ query }) => answerJson({ status: query.get("a") }),
  "GET /pods/:namespace/:name": ({ params }) => answerJson(Object.fromEntries(params)),
  "PUT /pods/:namespace/:name": async () => ({ status: 204, body: "" }),
  "GET /fails": () => {
    throw new Error("defect");
  },
});

const errorOf = (body: string): unknown => (JSON.parse(body) as { error?: unknown }).error;

describe("createAdminRouter()", () => {
  it("finds routes by method and path, with what stands for the names", async () => {
    assert.deepEqual(await route("GET", "/status?a=b%20c&a=d"), {
      status: 200,
      contentType: "application/json",
      body: '{"status":"b c"}\n',
    });
    assert.equal((await route("GET", "/pods/shop/web-0")).body, '{"namespace":"shop","name":"web-0"}\n');
    assert.equal((await route("GET", "/pods/a%2Fb/c?x")).body, '{"namespace":"a/b","name":"c"}\n');
    assert.equal((await route("PUT", "/pods/a/b")).status, 204);
  });

  it("refuses other paths, whatever they are", async () => {
    const targets = ["/", "", "status", "/status/", "//status", "/pods", "/pods//web", "/pods/a/b/c", "/%", "/%ff"];
    for (const target of [...targets, "/__proto__", `/${"a/".repeat(4000)}`]) {
      const { status, body } = await route("GET", target);
      assert.equal(status, 404, target);
      assert.match(String(errorOf(body)), /^Cannot answer ".{0,220}": no such path$/, target);
    }
  });

  it("names the methods a path takes", async () => {
    const { status, body } = await route("DELETE", "/pods/a/b");
    assert.equal(status, 405);
    assert.equal(errorOf(body), 'Cannot answer "DELETE" of "/pods/a/b": accepted: GET, PUT');
  });

  it("leaves what a handler throws to its caller", async () => {
    await assert.rejects(route("GET", "/fails"), /defect/);
  });

  it("refuses routes that are none", () => {
    for (const bad of ["/status", "GET status", "get /status", "GET /status?x"]) {
      assert.throws(() => createAdminRouter({ [bad]: () => answerJson({}) }), TypeError, bad);
    }
  });
});
