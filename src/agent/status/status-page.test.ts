import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { samplePod, sampleStatus } from "../../core/status/testing.ts";
import { statusPageRoutes } from "./status-page.ts";

function simulate() {
  let now = 0;
  let made = 0;
  const document = () => {
    made += 1;
    return sampleStatus([samplePod({ name: `made-${made}` })]);
  };
  const { "/status": answer } = statusPageRoutes({ document, nowMs: () => now }, { node: "Node-1" });
  const pass = (ms: number): void => {
    now += ms;
  };
  return { answer, made: () => made, pass };
}

const REQUEST = { method: "GET", host: "10.0.0.1:15014" };

describe("statusPageRoutes()", () => {
  it("answers with a page that a browser may not do anything with but show it", () => {
    const { status, contentType, headers, body } = simulate().answer(REQUEST);
    assert.deepEqual([status, contentType], [200, "text/html; charset=utf-8"]);
    assert.match(
      headers?.["content-security-policy"] ?? "",
      /^default-src 'none'; style-src 'sha256-[^']+'; .*frame-ancestors 'none'$/,
    );
    assert.match(body, /^<!doctype html>\n/);
  });

  it("only lets itself be read", () => {
    const { answer, made } = simulate();
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "get", ""]) {
      assert.equal(answer({ ...REQUEST, method }).status, 405, method);
    }
    assert.equal(made(), 0);
    assert.equal(answer({ ...REQUEST, method: "HEAD" }).status, 200);
  });

  for (const host of [
    "localhost",
    "LOCALHOST:15014",
    "127.0.0.1:8080",
    "[::1]:15014",
    "[fd00::1]",
    "node-1",
    "NODE-1:15014",
  ]) {
    it(`answers as ${host}`, () => assert.equal(simulate().answer({ ...REQUEST, host }).status, 200));
  }
  for (const host of [
    "",
    "attacker.example",
    "attacker.example:15014",
    "127.0.0.1.attacker.example",
    "node-1.attacker.example",
    "[::1].attacker.example",
    "localhost:15014.attacker.example",
    "x@10.0.0.1",
  ]) {
    it(`does not answer as ${JSON.stringify(host)}, which may have been made to lead here`, () => {
      const { answer, made } = simulate();
      assert.equal(answer({ ...REQUEST, host }).status, 421);
      assert.equal(made(), 0);
    });
  }

  it("makes one page a second, however many ask", () => {
    const { answer, made, pass } = simulate();
    for (let asked = 0; asked < 100; asked++) answer(REQUEST);
    assert.equal(made(), 1);
    pass(999);
    assert.match(answer(REQUEST).body, /made-1/);
    pass(1);
    assert.match(answer(REQUEST).body, /made-2/);
  });
});
