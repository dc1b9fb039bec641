// Every fault, as a client sees it on the wire.
import { equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { type ApiServer, createApiServer } from "./api-server.ts";
import { readPath, readText } from "./kube-object.ts";
import { namespace, plainPod } from "./pod-fixtures.ts";
import { createWireClient, type WireClient } from "./wire-client.ts";

const PODS = "/api/v1/pods";
const WATCH = `${PODS}?watch=true`;

async function withServer(work: (server: ApiServer, client: WireClient) => Promise<void>): Promise<void> {
  await using server = await createApiServer();
  using client = createWireClient(server);
  server.put(plainPod({ name: "a" }));
  await work(server, client);
}

test("status faults answer with a Status, Retry-After where asked, as often as asked", () =>
  withServer(async (server, client) => {
    for (const code of [401, 403, 410, 429, 500, 503]) {
      const fault = server.fault({ verb: "list", resource: "pods" }, { kind: "status", code, retryAfterSeconds: 2 }, 1);
      const { status, json, headers } = await client.request("GET", PODS);
      equal(status, code);
      equal(json["code"], code);
      equal(headers["retry-after"], "2");
      equal(fault.hits(), 1);
      equal((await client.request("GET", PODS)).status, 200, "the fault was for one request");
    }
  }));

test("a fault touches only what it matches, until it is cleared", () =>
  withServer(async (server, client) => {
    {
      using _fault = server.fault({ path: /^\/api\/v1\/pods\?.*limit=5/ }, { kind: "status", code: 500 });
      equal((await client.request("GET", `${PODS}?limit=5`)).status, 500);
      equal((await client.request("GET", `${PODS}?limit=6`)).status, 200);
    }
    equal((await client.request("GET", `${PODS}?limit=5`)).status, 200);
    server.fault({ verb: ["get", "watch"] }, { kind: "status", code: 503 });
    equal((await client.request("GET", "/api/v1/namespaces/default/pods/a")).status, 503);
    server.clearFaults();
    equal((await client.request("GET", "/api/v1/namespaces/default/pods/a")).status, 200);
  }));

test("html, garbage and another content type come with code 200", () =>
  withServer(async (server, client) => {
    server.fault({}, { kind: "html" }, 1);
    match((await client.request("GET", PODS)).text, /^<!DOCTYPE html>/);
    server.fault({}, { kind: "garbage" }, 1);
    const garbage = await client.request("GET", PODS);
    equal(garbage.headers["content-type"], "application/json");
    ok(garbage.text.includes("\uFFFD"));
    server.fault({}, { kind: "content-type", value: "text/yaml" }, 1);
    const yaml = await client.request("GET", PODS);
    equal(yaml.headers["content-type"], "text/yaml");
    equal(yaml.json["kind"], "PodList");
  }));

test("truncated bodies and resets break the connection", () =>
  withServer(async (server, client) => {
    server.fault({}, { kind: "truncated" }, 1);
    await rejects(client.request("GET", PODS), { code: "ECONNRESET" });
    server.fault({}, { kind: "reset" }, 1);
    await rejects(client.request("GET", PODS), { code: "ECONNRESET" });
    equal((await client.request("GET", PODS)).status, 200);
  }));

test("a request that is never answered stays open until the server stops", () =>
  withServer(async (server, client) => {
    server.fault({}, { kind: "never-answer" }, 1);
    const hanging = rejects(client.request("GET", PODS), { code: "ECONNRESET" });
    await server.waitFor(() => server.requests().length === 1, "the request");
    equal((await client.request("GET", PODS)).status, 200, "others are answered");
    equal(server.requests()[0]?.endedMs, undefined);
    await server.stop();
    await hanging;
  }));

test("latency delays the answer and a trickle its bytes, both complete", () =>
  withServer(async (server, client) => {
    server.fault({}, { kind: "latency", delayMs: 30 }, 1);
    server.fault({}, { kind: "trickle", bytes: 500, everyMs: 2 }, 1);
    const { json } = await client.request("GET", PODS);
    equal(readText(json, "items", "kind"), "");
    equal(json["kind"], "PodList");
    const [request] = server.requests();
    await server.waitFor(() => request?.endedMs !== undefined, "the end of the request");
    ok(request?.endedMs !== undefined && request.endedMs - request.startedMs >= 29);
  }));

test("large objects reach objects, lists and watches", () =>
  withServer(async (server, client) => {
    const bytes = 5_000_000;
    server.fault({}, { kind: "large-object", bytes }, 3);
    ok((await client.request("GET", "/api/v1/namespaces/default/pods/a")).text.length > bytes);
    const list = await client.request("GET", PODS, undefined, {});
    ok(list.text.length > bytes && list.json["kind"] === "PodList");
    using watch = await client.watch(WATCH);
    const event = await watch.next();
    equal(readText(event, "object", "metadata", "annotations", "stand-in/padding").length, bytes);
  }));

test("a watch can break off in the middle of an event", () =>
  withServer(async (server, client) => {
    for (const close of ["end", "reset"] as const) {
      server.fault({ verb: "watch" }, { kind: "half-event", close }, 1);
      using watch = await client.watch(WATCH);
      await rejects(watch.next());
    }
  }));

test("a silent watch is open and shows nothing", () =>
  withServer(async (server, client) => {
    server.fault({ verb: "watch" }, { kind: "silent-watch" }, 1);
    using silent = await client.watch(`${WATCH}&timeoutSeconds=1&allowWatchBookmarks=true`);
    equal(silent.status, 200);
    server.put(plainPod({ name: "b" }));
    server.bookmark();
    equal(await silent.next(), undefined, "it ended at its timeout without an event");
  }));

test("a watch trickles too, and its events are whole", () =>
  withServer(async (server, client) => {
    server.fault({ verb: "watch" }, { kind: "trickle", bytes: 100, everyMs: 1 }, 1);
    using watch = await client.watch("/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dslow");
    server.put(namespace("slow"));
    equal(readPath(await watch.next(), "object", "metadata", "name"), "slow");
  }));
