/**
 * Targets: the servers on the agent's unix sockets, with real sockets: whatever a peer sends before it hangs up, the next one
 * is answered. An exception that nobody catches ends the thread, and that is a finding too (fuzz-run.ts).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAnswer, requestFrame, serve } from "../../../plugin/test/server-rig.ts";
import { createUpstreamLog } from "../../../src/agent/plugin-api/upstream-requests.ts";
import { answerJson, createAdminRouter } from "../../../src/agent/status/admin-router.ts";
import type { Logger } from "../../../src/core/log.ts";
import { createHttpConnections } from "../../../src/platform/http/http-connections.ts";
import { createPoller } from "../../../src/platform/linux/poller.ts";
import { SOCK_STREAM } from "../../../src/platform/linux/socket-numbers.ts";
import { listenUnix } from "../../../src/platform/linux/unix-socket.ts";
import { bytesOf, type FuzzTarget, type Outcome } from "../fuzz-target.ts";
import { mutateBytes } from "../mutate-bytes.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";

const AT_ONCE = 16;
const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => QUIET };

type Socket = { exchange(input: Uint8Array): Promise<string>; isAlive(): Promise<boolean>; close(): Promise<void> };

/** A target whose inputs are what a peer sends; `open` makes the server, which lives for one batch. */
function createSocketTarget(
  fields: Pick<FuzzTarget, "name" | "parsers" | "mutators" | "seeds" | "words">,
  open: () => Promise<Socket>,
): FuzzTarget {
  return {
    maxBytes: 64 * 1024,
    batch: AT_ONCE,
    ...fields,
    async run(inputs, started) {
      const socket = await open();
      const outcomes: Outcome[] = [];
      try {
        for (const input of inputs) {
          started(input);
          outcomes.push({ features: [await socket.exchange(input)] });
        }
        holds(await socket.isAlive(), "After what a peer has sent the next one is not answered");
        return outcomes;
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        return [...outcomes.slice(0, -1), { features: [], failure }];
      } finally {
        await socket.close();
      }
    },
  };
}

/** Sends and hangs up; the first line of what came back. */
function talk(path: string, input: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(path);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1").split("\r\n", 1)[0] ?? ""));
    socket.end(input);
  });
}

async function openHttp(): Promise<Socket> {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
  const path = join(folder, "admin.sock");
  const router = createAdminRouter({
    "GET /pods/:namespace/:name": () => answerJson({}),
    "GET /status": () => answerJson({}),
  });
  const log = createUpstreamLog(QUIET);
  let failure: unknown;
  const connections = createHttpConnections({
    answer: (method, target, rest) => (target === "/log" ? log(method, target, rest) : router(method, target)),
    onError: (error) => {
      // A client that goes before its request is whole is none of the server's defects.
      if (!String(error).includes("the client has gone")) failure = error;
    },
    timeoutMs: 5000,
  });
  const poller = createPoller((error) => {
    failure = error;
  });
  const listener = listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 64 });
  const watch = poller.watch(listener.fd, { readable: true, writable: false }, () => {
    for (let next = listener.accept(); next !== undefined; next = listener.accept()) connections.take(next.fd);
  });
  return {
    async exchange(input) {
      const answer = await talk(path, input);
      if (failure !== undefined) throw failure;
      return answer.replace(/[^A-Z0-9/. ]/gi, "").slice(0, 32);
    },
    isAlive: async () =>
      (await talk(path, bytesOf("GET /status HTTP/1.1\r\nhost: a\r\n\r\n"))).startsWith("HTTP/1.1 200"),
    async close() {
      watch[Symbol.dispose]();
      listener.close();
      await connections.close(0);
      await poller.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const http = createSocketTarget(
  {
    name: "http-sockets",
    parsers: [
      "platform/http/http-connections.ts",
      "agent/plugin-api/upstream-requests.ts",
      "agent/status/admin-router.ts",
    ],
    mutators: [mutateText],
    words: [
      "GET ",
      "POST ",
      "/log",
      "/status",
      "/pods/",
      " HTTP/1.1\r\n",
      "\r\n\r\n",
      "content-length: ",
      "transfer-encoding: chunked\r\n",
      "5\r\n",
      "0\r\n\r\n",
      "expect: 100-continue\r\n",
      "connection: upgrade\r\nupgrade: x\r\n",
      "CONNECT a:1",
      "%",
      "\0",
    ],
    seeds: [
      "GET /pods/shop/web-0 HTTP/1.1\r\nhost: a\r\n\r\n",
      "POST /log HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n[]",
      "POST /log HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
      "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
      "GET /status HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\nexpect: 100-continue\r\n\r\n",
    ].map(bytesOf),
  },
  openHttp,
);

async function openPluginServer(): Promise<Socket> {
  const rig = await serve(async () => ({ exitCode: 0, stdout: "{}" }), { requestTimeoutMs: 5000 });
  const path = join(rig.runDir, "plugin.sock");
  return {
    async exchange(input) {
      const answer = await talk(path, input);
      return answer === "" ? "nothing" : `type ${answer.charCodeAt(6)}`;
    },
    async isAlive() {
      const connection = rig.connect();
      try {
        connection.send(requestFrame({ command: "DEL" }));
        return (await readAnswer(connection)) !== undefined;
      } finally {
        connection.close();
      }
    },
    async close() {
      await rig[Symbol.asyncDispose]();
    },
  };
}

const plugins = createSocketTarget(
  {
    name: "plugin-socket",
    parsers: ["agent/plugin-api/plugin-server.ts"],
    mutators: [mutateBytes],
    words: ["ICNI", "ADD", "\x01\0\0\0", "\0\0\x20\0", "\xff\xff\xff\xff"],
    seeds: [
      requestFrame(),
      requestFrame({ command: "DEL", flags: 1 }),
      requestFrame({ stdin: "x".repeat(5000), remainingMs: 1 }),
    ],
  },
  openPluginServer,
);

export const SOCKET_TARGETS: readonly FuzzTarget[] = [http, plugins];
