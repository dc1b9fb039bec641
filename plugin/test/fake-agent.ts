// An agent that follows a script: it reads plugin requests from a real socket and answers what the test says.
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { type FrameHeader, HEADER_LENGTH, parseFields, parseHeader } from "../../src/core/plugin-protocol/frame.ts";
import { type PluginRequest, parseRequest } from "../../src/core/plugin-protocol/request.ts";
import { until } from "../../testbed/until.ts";
import { temporaryFolder } from "./run-plugin.ts";

export interface ReceivedRequest {
  readonly header: FrameHeader;
  readonly request: PluginRequest;
  /** Every field by its number, for those that the agent does not read. */
  readonly fields: ReadonlyMap<number, Uint8Array>;
}

/** Called with each whole request; what it does with the connection is the answer. */
export type Script = (socket: Socket, received: ReceivedRequest, count: number) => void;

export interface FakeAgent extends AsyncDisposable {
  /** For netconf's cni_agent_run_dir. */
  readonly runDir: string;
  readonly received: readonly ReceivedRequest[];
  /** Resolves when that many requests have come. */
  waitFor(count: number): Promise<void>;
  listen(): Promise<void>;
  close(): Promise<void>;
}

/** An agent with its own run directory, listening unless told otherwise. */
export async function startFakeAgent(script: Script, options: { listening?: boolean } = {}): Promise<FakeAgent> {
  const folder = temporaryFolder();
  const received: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  let server: Server | undefined;

  const accept = (socket: Socket): void => {
    let bytes = Buffer.alloc(0);
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.length < HEADER_LENGTH) return;
      const header = parseHeader(bytes);
      if (bytes.length < HEADER_LENGTH + header.payloadLength) return;
      const payload = bytes.subarray(HEADER_LENGTH, HEADER_LENGTH + header.payloadLength);
      const one = { header, request: parseRequest(payload), fields: parseFields(payload) };
      received.push(one);
      script(socket, one, received.length);
    });
  };

  const agent: FakeAgent = {
    runDir: folder.path,
    received,
    waitFor: (count) => until(`${count} requests`, () => received.length >= count),
    async listen() {
      server = createServer(accept);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once("error", reject).listen(join(folder.path, "plugin.sock"), resolve);
      await promise;
    },
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      for (const socket of sockets) socket.destroy();
      if (server === undefined) return;
      server.close(() => resolve());
      server = undefined;
      await promise;
    },
    async [Symbol.asyncDispose]() {
      await agent.close();
      folder[Symbol.dispose]();
    },
  };
  if (options.listening !== false) await agent.listen();
  return agent;
}
