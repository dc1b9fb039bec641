// A socket in the run directory on which HTTP is spoken: the agent's own for people on the node is one, upstream's two are
// others. Nothing depends on it: an agent that cannot have it says so, tries again, and does its work.
import type { Logger } from "../core/log.ts";
import type { HttpConnections } from "../platform/http/http-connections.ts";
import { createAcceptor } from "../platform/linux/acceptor.ts";
import type { Poller } from "../platform/linux/poller.ts";
import { SOCK_STREAM } from "../platform/linux/socket-numbers.ts";
import { listenUnix } from "../platform/linux/unix-socket.ts";
import { trustedUids } from "../platform/process/own-user.ts";

/** Each wake-up costs: six a minute for each socket, not thirty. */
const RECHECK_MS = 10_000;
/** For requests that run when the agent ends. */
const CLOSE_DEADLINE_MS = 1000;

export interface UnixHttp {
  readonly poller: Poller;
  readonly log: Logger;
  /** For the log: "admin socket". */
  readonly name: string;
  readonly path: string;
  readonly backlog: number;
  readonly connections: HttpConnections;
}

/** Serves until the signal aborts. Rejects for nothing. */
export async function serveUnixHttp(socket: UnixHttp, signal: AbortSignal): Promise<void> {
  const { poller, log, name, path, backlog, connections } = socket;
  const listen = () => listenUnix(path, SOCK_STREAM, { mode: 0o600, backlog });
  const accept = createAcceptor({ poller, log, listen });
  const take = ({ fd }: { readonly fd: number }) => void connections.take(fd);
  await accept({ name, allowedUids: trustedUids(), recheckMs: RECHECK_MS, isOptional: true, take }, signal);
  await connections.close(CLOSE_DEADLINE_MS);
}
