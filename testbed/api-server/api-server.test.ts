// The server's life and the handle tests hold: tokens, the log, versions forgotten, watches closed, stop, start, freeze.
// What requests are answered with is compared with a real server in test/cluster/api-stand-in*.test.ts.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ApiServer, createApiServer } from "./api-server.ts";
import { readPath, readText } from "./kube-object.ts";
import { namespace, node, plainPod } from "./pod-fixtures.ts";
import { createWireClient, type WireClient } from "./wire-client.ts";

const PODS = "/api/v1/pods";

async function withServer(work: (server: ApiServer, client: WireClient) => Promise<void>): Promise<void> {
  await using server = await createApiServer();
  using client = createWireClient(server);
  await work(server, client);
}

test("tokens are several, can be revoked, and rotate in the folder without a moment of mixture", () =>
  withServer(async (server) => {
    const dir = await mkdtemp(join(tmpdir(), "api-server-"));
    const read = (name: string): Promise<string> => readFile(join(dir, name), "utf8");
    const status = async (token: string): Promise<number> => {
      using client = createWireClient({ url: server.url, caPem: server.caPem, token });
      return (await client.request("GET", PODS)).status;
    };
    try {
      await server.writeServiceAccount(dir, "mesh");
      const first = await read("token");
      equal(first, server.token);
      equal(await read("namespace"), "mesh");
      equal(await read("ca.crt"), server.caPem);
      const second = await server.rotateToken();
      equal(await read("token"), second);
      deepEqual([await status(first), await status(second)], [200, 200]);
      server.revokeToken(first);
      deepEqual([await status(first), await status(second)], [401, 200]);
      deepEqual((await readdir(dir)).filter((name) => !/^\.\.[0-9a-f]{12}$/.test(name)).sort(), [
        "..data",
        "ca.crt",
        "namespace",
        "token",
      ]);
    } finally {
      await rm(dir, { recursive: true });
    }
  }));

test("a token may be allowed only some verbs", () =>
  withServer(async (server) => {
    const token = server.issueToken({
      name: "reader",
      may: ({ verb, resource }) => verb === "list" && resource.plural === "pods",
    });
    using client = createWireClient({ url: server.url, caPem: server.caPem, token });
    equal((await client.request("GET", PODS)).status, 200);
    const refused = await client.request("GET", `${PODS}?watch=true`);
    equal(refused.status, 403);
    match(
      readText(refused.json, "message"),
      /^pods is forbidden: User "reader" cannot watch resource "pods" in API group "" at the cluster scope$/,
    );
  }));

test("the log shows what was asked", () =>
  withServer(async (server, client) => {
    await client.request("GET", `${PODS}?limit=3`);
    await client.request("PATCH", "/api/v1/nodes/n/status", {});
    deepEqual(
      server
        .requests()
        .map(({ method, path, query, verb, resource, subresource, name, userAgent, status }) => [
          method,
          path,
          query,
          verb,
          resource,
          subresource,
          name,
          userAgent,
          status,
        ]),
      [
        ["GET", "/api/v1/pods", { limit: "3" }, "list", "pods", "", "", "wire-client", 200],
        ["PATCH", "/api/v1/nodes/n/status", {}, "patch", "nodes", "status", "n", "wire-client", 415],
      ],
    );
    equal(server.requests({ verb: "list" }).length, 1);
    server.clearRequests();
    deepEqual(server.requests(), []);
    await rejects(
      server.waitFor(() => false, "a miracle", 10),
      /Cannot wait longer for a miracle/,
    );
  }));

test("objects put in-process are shown to watchers as writes are", () =>
  withServer(async (server, client) => {
    using watch = await client.watch(`${PODS}?watch=true&fieldSelector=spec.nodeName%3Dnode-1`);
    server.put(plainPod({ name: "elsewhere", nodeName: "node-2" }));
    server.put(plainPod({ name: "here", nodeName: "" }));
    server.patch("pods", "default/here", { spec: { nodeName: "node-1" } });
    server.patch("pods", "default/here", { metadata: { annotations: { a: "b" } } });
    ok(server.remove("pods", "default/here"));
    const seen: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      const event = await watch.next();
      seen.push(`${readText(event, "type")} ${readText(event, "object", "metadata", "name")}`);
    }
    deepEqual(seen, ["ADDED here", "MODIFIED here", "DELETED here"]);
    equal(server.get("pods", "default/here"), undefined);
    equal(server.list("pods").length, 1);
  }));

test("compact() makes watches and continue tokens too old, and a list still answers", () =>
  withServer(async (server, client) => {
    for (const name of ["a", "b", "c"]) server.put(plainPod({ name }));
    const page = await client.request("GET", `${PODS}?limit=1`);
    const version = readText(page.json, "metadata", "resourceVersion");
    const next = `${PODS}?limit=1&continue=${readText(page.json, "metadata", "continue")}`;
    server.compact();
    using watch = await client.watch(`${PODS}?watch=true&resourceVersion=${version}`);
    const event = await watch.next();
    equal(watch.status, 200);
    deepEqual(
      [event?.["type"], readPath(event, "object", "reason"), readPath(event, "object", "code")],
      ["ERROR", "Expired", 410],
    );
    match(readText(event, "object", "message"), /^too old resource version: \d+ \(\d+\)$/);
    equal(await watch.next(), undefined);
    const expired = await client.request("GET", next);
    deepEqual([expired.status, expired.json["reason"]], [410, "Expired"]);
    const rest = await client.request("GET", `${PODS}?continue=${readText(expired.json, "metadata", "continue")}`);
    ok(rest.status === 200 && rest.text.includes('"name":"c"'));
    equal(
      (await client.request("GET", `${PODS}?resourceVersion=${version}`)).status,
      200,
      "not older than is still true",
    );
  }));

test("bookmarks come when told, to those who allow them", () =>
  withServer(async (server, client) => {
    const from = readText((await client.request("GET", PODS)).json, "metadata", "resourceVersion");
    using watch = await client.watch(`${PODS}?watch=true&allowWatchBookmarks=true&resourceVersion=${from}`);
    using without = await client.watch(`${PODS}?watch=true&resourceVersion=${from}`);
    server.put(node("n"));
    server.bookmark();
    const bookmark = await watch.next();
    equal(bookmark?.["type"], "BOOKMARK");
    equal(
      Number(readText(bookmark, "object", "metadata", "resourceVersion")),
      Number(from) + 1,
      "a write of another kind moves the version",
    );
    server.put(plainPod({ name: "a" }));
    equal((await without.next())?.["type"], "ADDED");
  }));

test("watches end cleanly, by reset, or with an error event", () =>
  withServer(async (server, client) => {
    const open = () => client.watch(`${PODS}?watch=true`);
    using ended = await open();
    equal(server.watches("pods"), 1);
    equal(server.watches("nodes"), 0);
    server.closeWatches("end");
    equal(await ended.next(), undefined);
    using reset = await open();
    server.closeWatches("reset");
    await rejects(reset.next(), { code: "ECONNRESET" });
    using expired = await open();
    server.closeWatches("expired");
    equal((await expired.next())?.["type"], "ERROR");
    equal(await expired.next(), undefined);
    await server.waitFor(() => server.watches() === 0, "the watches to end");
  }));

test("stop() refuses connections and start() comes back on the same port with the same objects", () =>
  withServer(async (server, client) => {
    server.put(plainPod({ name: "a" }));
    using watch = await client.watch(`${PODS}?watch=true`);
    equal((await watch.next())?.["type"], "ADDED");
    const { port } = server;
    await server.stop();
    await rejects(watch.next());
    using fresh = createWireClient(server);
    await rejects(fresh.request("GET", "/version"), { code: "ECONNREFUSED" });
    await server.start();
    equal(server.port, port);
    equal((await fresh.request("GET", "/api/v1/namespaces/default/pods/a")).status, 200);
  }));

test("a frozen server answers nobody, old connections or new, and goes on when thawed", () =>
  withServer(async (server, client) => {
    using watch = await client.watch("/api/v1/namespaces?watch=true&labelSelector=frozen");
    await client.request("GET", "/healthz");
    server.freeze();
    using fresh = createWireClient(server);
    let answered = 0;
    const answers = [client, fresh].map((one) => one.request("GET", "/version").then(() => (answered += 1)));
    await server.waitFor(() => server.requests({ path: "/version" }).length === 1, "the request of the old connection");
    server.put(namespace("n", { frozen: "yes" }));
    equal(answered, 0);
    server.thaw();
    await Promise.all(answers);
    equal((await watch.next())?.["type"], "ADDED");
  }));

test("a server without watchList refuses streamed lists as older Kubernetes does", async () => {
  await using server = await createApiServer({ watchList: false });
  using client = createWireClient(server);
  const { status, json } = await client.request(
    "GET",
    `${PODS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`,
  );
  equal(status, 422);
  match(
    readText(json, "message"),
    /sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled$/,
  );
});

test("pods without a kubelet are gone at once when deleted, and a namespace takes all with it", () =>
  withServer(async (server, client) => {
    server.put(namespace("shop"));
    server.put(plainPod({ name: "a", namespace: "shop" }));
    server.put(plainPod({ name: "b", namespace: "shop" }));
    equal((await client.request("DELETE", "/api/v1/namespaces/shop/pods/a")).status, 200);
    equal(server.get("pods", "shop/a"), undefined);
    equal((await client.request("DELETE", "/api/v1/namespaces/shop")).status, 200);
    deepEqual([server.list("pods"), server.get("namespaces", "shop")], [[], undefined]);
  }));

test("long answers are compressed for those who accept it, and long requests refused", () =>
  withServer(async (server, client) => {
    for (let index = 0; index < 40; index += 1) server.put(plainPod({ name: `p${index}` }));
    const plain = await client.request("GET", PODS);
    const packed = await client.request("GET", PODS, undefined, { "Accept-Encoding": "gzip" });
    equal(plain.headers["content-encoding"], undefined);
    equal(packed.headers["content-encoding"], "gzip");
    ok(Number(packed.headers["content-length"]) < plain.text.length / 2);
    const refused = await client.request("POST", "/api/v1/namespaces/default/pods", "x".repeat(3 * 1024 * 1024 + 1));
    equal(refused.status, 413);
  }));

test("the server can listen on IPv6", async (context) => {
  const server = await createApiServer({ host: "::1" }).catch(() => undefined);
  if (server === undefined) return context.skip("no ::1 here");
  using client = createWireClient(server);
  match(server.url, /^https:\/\/\[::1\]:\d+$/);
  equal((await client.request("GET", "/readyz")).text, "ok");
  await server.stop();
});
