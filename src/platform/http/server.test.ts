import assert from "node:assert/strict";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { describe, it } from "node:test";
import { until } from "../../../testbed/until.ts";
import { type HttpListener, type HttpListenOptions, listenHttp } from "./server.ts";

/** Serves a few routes for the time of `use`. */
async function withListener(
  use: (listener: HttpListener, errors: unknown[]) => Promise<void>,
  more: HttpListenOptions["routes"] = {},
): Promise<void> {
  const errors: unknown[] = [];
  const listener = await listenHttp({
    port: 0,
    host: "127.0.0.1",
    routes: {
      "/ok": () => ({ status: 200, body: "fine\n" }),
      "/empty": () => ({ status: 200, body: "" }),
      "/bad": () => {
        throw new Error("no answer");
      },
      ...more,
    },
    onError: (error) => errors.push(error),
  });
  try {
    await use(listener, errors);
  } finally {
    await listener.close(0);
  }
}

/** Sends raw bytes and gives everything that comes back until the other side ends. */
async function talk(port: number, request: string): Promise<string> {
  const socket = await connect(port);
  socket.write(request);
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  await closed(socket);
  return text;
}

/** The other side may cut the connection (ECONNRESET) as well as end it. */
function closed(socket: Socket): Promise<void> {
  socket.on("error", () => undefined);
  return new Promise((resolve) => socket.on("close", () => resolve()));
}

async function connect(port: number): Promise<Socket> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  return socket;
}

const request = (method: string, path: string, more = "") =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}\r\n`;

describe("listenHttp()", () => {
  it("answers its paths for any method, without a body for HEAD", async () => {
    await withListener(async ({ port }) => {
      for (const method of ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
        const text = await talk(port, request(method, "/ok?x=1", method === "GET" ? "" : "Content-Length: 0\r\n"));
        assert.match(text, /^HTTP\/1\.1 200 OK\r\n(?:[^\r]+\r\n)+\r\nfine\n$/, method);
      }
      const head = await talk(port, request("HEAD", "/ok"));
      assert.match(head, /content-length: 5/i);
      assert.ok(head.endsWith("\r\n\r\n"));
      assert.match(await talk(port, request("GET", "/empty")), /content-length: 0\r\n/i);
    });
  });

  it("knows no other paths, whatever they look like", async () => {
    await withListener(async ({ port }) => {
      for (const path of [
        "/",
        "/ok/",
        "//ok",
        "/OK",
        "/__proto__",
        "/toString",
        "/%6fk",
        "http://evil/ok",
        "*",
        "/ok%00",
      ]) {
        assert.match(await talk(port, request("GET", path)), /^HTTP\/1\.1 404 /, path);
      }
    });
  });

  it("answers 500 and tells when an answer fails", async () => {
    await withListener(async ({ port }, errors) => {
      const text = await talk(port, request("GET", "/bad"));
      assert.match(text, /^HTTP\/1\.1 500 /);
      assert.doesNotMatch(text, /no answer/);
      assert.equal(errors.length, 1);
    });
  });

  it("cuts off long headers, long bodies and what is no HTTP", async () => {
    await withListener(async ({ port }) => {
      assert.match(await talk(port, request("GET", "/ok", `X: ${"a".repeat(20_000)}\r\n`)), /^HTTP\/1\.1 431 /);
      await talk(port, request("POST", "/ok", "Content-Length: 10000000\r\n") + "b".repeat(500_000));
      assert.match(await talk(port, "\u0000\u0001garbage\r\n\r\n"), /^HTTP\/1\.1 400 /);
      assert.match(await talk(port, request("GET", "/ok")), /^HTTP\/1\.1 200 /);
    });
  });

  it("makes no second answer before the first one is sent, however many are asked for at once", async () => {
    let answers = 0;
    const route = () => ({ status: 200, body: `${"x".repeat(100_000)}${++answers}` });
    const ask = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
    const use = async ({ port }: HttpListener): Promise<void> => {
      await talk(port, ask.repeat(90));
      const first = answers;
      assert.ok(first <= 1);
      const socket = await connect(port);
      let text = "";
      socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
      for (let asked = 1; asked <= 3; asked++) {
        socket.write(ask);
        await until("the whole answer", () => text.endsWith(`x${asked + first}`));
      }
      socket.destroy();
    };
    await withListener(use, { "/big": route });
  });

  it("makes one answer in each turn of the event loop, however many ask at the same time", async () => {
    let answers = 0;
    const route = () => ({ status: 200, body: String(++answers) });
    const use = async ({ port }: HttpListener): Promise<void> => {
      const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(port)));
      const askAll = async (): Promise<void> => {
        const answered = sockets.map((socket) => once(socket, "data"));
        for (const socket of sockets) socket.write("GET /count HTTP/1.1\r\nHost: x\r\n\r\n");
        await Promise.all(answered);
      };
      // The first time connections are accepted one by one.
      await askAll();
      let [before, mostInTurn] = [answers, 0];
      let turn = setImmediate(function next() {
        mostInTurn = Math.max(mostInTurn, answers - before);
        before = answers;
        turn = setImmediate(next);
      });
      await askAll();
      clearImmediate(turn);
      for (const socket of sockets) socket.destroy();
      assert.equal(answers, 40);
      assert.equal(mostInTurn, 1);
    };
    await withListener(use, { "/count": route });
  });

  it("holds a limited number of connections, and answers who comes new and who is alone on its address", async () => {
    await withListener(async ({ port }) => {
      const other = createConnection({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
      await once(other, "connect");
      const sockets: Socket[] = [];
      const closedOnes = new Set<Socket>();
      for (let n = 0; n < 80; n++) {
        const socket = await connect(port);
        socket.on("error", () => undefined);
        socket.on("close", () => closedOnes.add(socket));
        sockets.push(socket);
      }
      const surplus = sockets.slice(0, 17);
      await until("the end of the surplus", () => surplus.every((socket) => closedOnes.has(socket)));
      assert.equal(closedOnes.size, surplus.length);
      assert.match(await talk(port, request("GET", "/ok")), /^HTTP\/1\.1 200 /);
      other.write(request("GET", "/ok"));
      const [answer] = (await once(other, "data")) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
      for (const socket of [...sockets, other]) socket.destroy();
    });
  });

  it("rejects when the port is taken", async () => {
    await withListener(async ({ port }) => {
      await assert.rejects(
        listenHttp({ port, host: "127.0.0.1", routes: {}, onError: () => undefined }),
        (error: NodeJS.ErrnoException) => error.code === "EADDRINUSE",
      );
    });
  });

  it("closes while a client holds its connection open", async () => {
    await withListener(async (listener) => {
      const idle = await connect(listener.port);
      const gone = closed(idle);
      idle.write("GET /ok HTT");
      await listener.close(10);
      await listener.close(10);
      await gone;
    });
  });
});
