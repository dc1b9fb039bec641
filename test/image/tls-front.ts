// TLS as a test wants it, in front of an API stand-in: it offers what it is told, and remembers who agreed on what.
import { connect, createServer, type SecureContextOptions, type TLSSocket } from "node:tls";
import { createCertificates } from "../../testbed/api-server/tls.ts";
import type { AgentApiServer } from "../../testbed/node/agent.ts";

export interface TlsFront extends AsyncDisposable, AgentApiServer {
  /** What was agreed on, a line for each connection: protocol and suite. */
  readonly agreed: readonly string[];
  /** Why there was no connection, for each that failed. */
  readonly failed: readonly string[];
}

/** Listens on the stand-in's address; whoever connects speaks with the stand-in. */
export async function startTlsFront(api: AgentApiServer, options: SecureContextOptions): Promise<TlsFront> {
  const { caPem, certPem, keyPem } = await createCertificates([api.host, "tls-front"]);
  const agreed: string[] = [];
  const failed: string[] = [];
  const sockets = new Set<TLSSocket>();
  const keep = (socket: TLSSocket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer({ key: keyPem, cert: certPem, ...options }, (socket) => {
    agreed.push(`${socket.getProtocol()} ${socket.getCipher().name}`);
    const inner = connect({ host: api.host, port: api.port, ca: api.caPem });
    keep(socket);
    keep(inner);
    socket.once("close", () => inner.destroy());
    inner.once("close", () => socket.destroy());
    socket.pipe(inner).pipe(socket);
  });
  server.on("tlsClientError", (error: NodeJS.ErrnoException) => void failed.push(error.code ?? error.message));
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, api.host, resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("Cannot listen for TLS");
  return {
    host: api.host,
    port: address.port,
    token: api.token,
    caPem,
    agreed,
    failed,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
