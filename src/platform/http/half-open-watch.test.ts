// A watch whose other end went without a word (a load balancer's backend, a node without power): nothing arrives, and nothing
// tells. What finds that out is the kernel, so it is the kernel that is asked what it will do.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:https";
import { test } from "node:test";
import { createCertificates } from "../../../testbed/api-server/tls.ts";
import { getsockopt } from "../linux/libc.ts";
import { createKubeClient } from "./kube-client.ts";

// linux/socket.h, linux/tcp.h
const [SOL_SOCKET, SO_KEEPALIVE] = [1, 9];
const [IPPROTO_TCP, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT] = [6, 4, 5, 6];

/** Descriptors of this process's connections to `port`. */
function connectionsTo(port: number): number[] {
  const hexPort = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = readFileSync("/proc/self/net/tcp", "utf8").split("\n");
  const links = rows
    .map((row) => row.trim().split(/\s+/))
    .filter((fields) => fields[2]?.endsWith(hexPort))
    .map((fields) => `socket:[${fields[9]}]`);
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => links.includes(linkOf(fd)));
}

function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ""; // The folder's own descriptor is gone by now.
  }
}

function optionOf(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  const length = Buffer.from(new Uint32Array([4]).buffer);
  assert.equal(getsockopt(fd, level, name, value, length), 0);
  return value.readInt32LE();
}

test("the kernel looks after a silent watch from the 30th second on, and gives it up at the 40th", async () => {
  const { caPem, certPem, keyPem } = await createCertificates(["127.0.0.1"]);
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    response.write("{}\n");
    if (request.url?.includes("watch=true") !== true) response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const { port } = address;
  const client = createKubeClient(
    {
      endpoint: { protocol: "https:", host: "127.0.0.1", port, basePath: "" },
      read: () => ({ ca: caPem, isInsecure: false }),
      refresh: () => undefined,
    },
    { userAgent: "test/1" },
  );
  try {
    const { signal } = new AbortController();
    // The watch gets a connection that was used before, as in the agent: between two requests it is looked after otherwise.
    await client.get({ plural: "pods", namespace: "shop", name: "web-0" }, signal);
    const query = { resourceVersion: "5", timeoutSeconds: 300, idleTimeoutMs: 60_000 };
    const watch = (await client.watch({ plural: "pods" }, query, signal))[Symbol.asyncIterator]();
    assert.equal((await watch.next()).done, false);
    const fds = connectionsTo(port);
    assert.equal(fds.length, 1);
    const [fd = -1] = fds;
    const firstSeconds = optionOf(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    const moreSeconds = optionOf(fd, IPPROTO_TCP, TCP_KEEPINTVL) * optionOf(fd, IPPROTO_TCP, TCP_KEEPCNT);
    assert.equal(optionOf(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert.deepEqual([firstSeconds, firstSeconds + moreSeconds], [30, 40]);
    await watch.return?.();
  } finally {
    client.close();
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
});
