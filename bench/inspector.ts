// A running agent's inspector (Chrome DevTools Protocol over WebSocket): SIGUSR1 makes Node open it on the node's loopback.
import { setTimeout as sleep } from "node:timers/promises";

export interface Inspector extends Disposable {
  /** The result of a command. @throws {Error} when it is refused, or there is no answer within a minute. */
  call(method: string, params?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Called with the parameters of every event of that name. */
  on(method: string, listener: (params: Readonly<Record<string, unknown>>) => void): void;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

const TARGETS = "http://127.0.0.1:9229/json/list";
const DEADLINE_MS = 60_000;

/** @throws {Error} when the process opens none within a minute. */
export async function attachInspector(pid: number): Promise<Inspector> {
  process.kill(pid, "SIGUSR1");
  const socket = new WebSocket(await findTarget());
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error(`Cannot profile process ${pid}: its inspector hung up`)));
  });
  let calls = 0;
  const pending = new Map<number, (message: Message) => void>();
  const listeners = new Map<string, (params: Readonly<Record<string, unknown>>) => void>();
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id !== undefined) pending.get(message.id)?.(message);
    if (message.method !== undefined) listeners.get(message.method)?.(message.params ?? {});
  });
  return {
    call(method, params = {}) {
      const id = ++calls;
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      const timer = setTimeout(
        () => reject(new Error(`Cannot profile: no answer to ${method} in ${DEADLINE_MS} ms`)),
        DEADLINE_MS,
      );
      pending.set(id, ({ result, error }) => {
        clearTimeout(timer);
        pending.delete(id);
        if (error === undefined) resolve(result);
        else reject(new Error(`Cannot profile: ${method} is refused: ${error.message}`));
      });
      socket.send(JSON.stringify({ id, method, params }));
      return promise;
    },
    on: (method, listener) => void listeners.set(method, listener),
    [Symbol.dispose]: () => socket.close(),
  };
}

async function findTarget(): Promise<string> {
  for (const deadline = performance.now() + DEADLINE_MS; performance.now() < deadline; await sleep(50)) {
    try {
      const targets = (await (await fetch(TARGETS)).json()) as readonly { readonly webSocketDebuggerUrl: string }[];
      if (targets[0] !== undefined) return targets[0].webSocketDebuggerUrl;
    } catch {
      // Not listening yet.
    }
  }
  throw new Error(`Cannot profile: ${TARGETS} does not answer`);
}
