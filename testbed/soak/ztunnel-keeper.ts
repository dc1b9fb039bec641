// The ztunnel stand-in of a soak's node, killed, stopped and exchanged by faults. It takes the connections of the pods that it was
// given, in their namespaces, and answers that it did.
import { startZtunnel, type ZtunnelProcess } from "../ztunnel/ztunnel-process.ts";

const SOCKET = "/run/ztunnel/ztunnel.sock";
/** The agent may be away; a ztunnel is exchanged all the same. */
const LIVE_WITHIN_MS = 8000;

export interface ZtunnelKeeper extends AsyncDisposable {
  current(): ZtunnelProcess;
  start(): Promise<void>;
  kill(): Promise<void>;
  /** The next one is started first, as a DaemonSet with maxSurge does. */
  exchange(): Promise<void>;
  /** How many pods it has, by its last word. */
  podCount(): number;
}

export function createZtunnelKeeper(): ZtunnelKeeper {
  let ztunnel: ZtunnelProcess | undefined;
  const current = (): ZtunnelProcess => {
    if (ztunnel === undefined) throw new Error("Cannot ask ztunnel: there is none now");
    return ztunnel;
  };
  const start = async (): Promise<void> => {
    ztunnel = await startZtunnel({ socketPath: SOCKET, answers: true });
  };
  return {
    current,
    start,
    async kill() {
      await current().stop("SIGKILL");
      ztunnel = undefined;
    },
    async exchange() {
      const old = current();
      await start();
      await current()
        .command.waitForLine((line) => line.includes('"snapshot-sent"'), LIVE_WITHIN_MS)
        .catch(() => undefined);
      await old.stop("SIGTERM");
    },
    podCount() {
      const counts = current()
        .events()
        .flatMap(({ pods }) => (typeof pods === "number" ? pods : []));
      return counts.at(-1) ?? 0;
    },
    async [Symbol.asyncDispose]() {
      await ztunnel?.stop("SIGKILL");
    },
  };
}
