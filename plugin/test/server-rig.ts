// The agent's plugin server alone, on a real socket in a temporary folder, and a plugin's side of the conversation by hand:
// what the server's own tests stand on, which may not have sockets of their own.
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  PLUGIN_SERVER_DEFAULTS,
  type PluginServerDeps,
  type PluginServerOptions,
  servePlugins,
} from "../../src/agent/plugin-api/plugin-server.ts";
import type { Logger } from "../../src/core/log.ts";
import {
  encodeFrame,
  FRAME_REQUEST,
  HEADER_LENGTH,
  parseFields,
  parseHeader,
} from "../../src/core/plugin-protocol/frame.ts";
import { createAcceptor } from "../../src/platform/linux/acceptor.ts";
import { closeFd } from "../../src/platform/linux/libc.ts";
import { createPoller } from "../../src/platform/linux/poller.ts";
import { SOCK_STREAM } from "../../src/platform/linux/socket-numbers.ts";
import {
  connectUnix,
  listenUnix,
  type UnixConnection,
  type UnixListener,
} from "../../src/platform/linux/unix-socket.ts";
import { temporaryFolder } from "./run-plugin.ts";

export interface ServerRig extends AsyncDisposable {
  /** For netconf's cni_agent_run_dir. */
  readonly runDir: string;
  readonly warnings: readonly string[];
  connect(): UnixConnection;
  /** Ends the server as the agent's end does. */
  stop(): Promise<void>;
}

export interface ServerRigOptions extends Partial<PluginServerOptions> {
  /** The caller's, and left to him; otherwise one is made. */
  readonly runDir?: string;
  /** Changes the listener before the server gets it. */
  readonly wrapListener?: (listener: UnixListener) => UnixListener;
}

/** Serves with `handle` and the agent's defaults; our own uid may ask. */
export async function serve(handle: PluginServerDeps["handle"], options: ServerRigOptions = {}): Promise<ServerRig> {
  const folder = options.runDir === undefined ? temporaryFolder() : { path: options.runDir, [Symbol.dispose]() {} };
  const poller = createPoller((error) => assert.fail(String(error)));
  const stopping = new AbortController();
  const path = join(folder.path, "plugin.sock");
  const warnings: string[] = [];
  const log: Logger = { debug() {}, info() {}, warn: (line) => void warnings.push(line), error() {}, scope: () => log };
  const { wrapListener = (listener) => listener, runDir: _, ...serverOptions } = options;
  const running = servePlugins(
    {
      poller,
      log,
      accept: createAcceptor({
        ...{ poller, log, nowMs: () => performance.now() },
        listen: () => wrapListener(listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog: 1024 })),
      }),
      closeDescriptor: (fd) => void closeFd(fd),
      handle,
    },
    { ...PLUGIN_SERVER_DEFAULTS, allowedUids: [process.getuid?.() ?? 0], ...serverOptions },
    stopping.signal,
  );
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return {
    runDir: folder.path,
    warnings,
    connect: () => connectUnix(path, SOCK_STREAM),
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      await poller.close();
      folder[Symbol.dispose]();
    },
  };
}

export interface RequestOptions {
  readonly command?: string;
  readonly containerId?: string;
  readonly stdin?: string;
  readonly remainingMs?: number;
  readonly flags?: number;
}

/** The frame a plugin sends. */
export function requestFrame(options: RequestOptions = {}): Uint8Array {
  const { command = "ADD", containerId = "c1", stdin = "{}", remainingMs, flags = 0 } = options;
  const fields: [number, string][] = [
    [1, command],
    [2, containerId],
    [7, stdin],
  ];
  if (remainingMs !== undefined) fields.push([9, String(remainingMs)]);
  const encoder = new TextEncoder();
  return encodeFrame(FRAME_REQUEST, new Map(fields.map(([key, value]) => [key, encoder.encode(value)])), flags);
}

export interface ReceivedAnswer {
  readonly type: number;
  readonly fields: Map<number, string>;
}

/** The answer, or undefined when the server hung up without one. */
export async function readAnswer(connection: UnixConnection): Promise<ReceivedAnswer | undefined> {
  const poller = createPoller((error) => assert.fail(String(error)));
  const chunks: Uint8Array[] = [];
  const done = Promise.withResolvers<void>();
  const watch = poller.watch(connection.fd, { readable: true, writable: false }, () => {
    const buffer = new Uint8Array(65536);
    let length = 0;
    try {
      length = connection.receive(buffer)?.length ?? 0;
    } catch {
      length = 0; // reset: the server closed with bytes of ours unread
    }
    if (length === 0) done.resolve();
    else chunks.push(buffer.subarray(0, length));
  });
  await done.promise;
  watch[Symbol.dispose]();
  await poller.close();
  const answer = Buffer.concat(chunks);
  if (answer.length === 0) return undefined;
  const fields = [...parseFields(answer.subarray(HEADER_LENGTH))].map(
    ([key, value]) => [key, Buffer.from(value).toString()] as const,
  );
  return { type: parseHeader(answer).type, fields: new Map(fields) };
}
