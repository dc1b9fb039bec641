// A server in a pod that answers when it is told to, and not before: for what happens to a request while it is under way.
import { type RunningCommand, startCommand } from "../node/command.ts";
import type { PodNetwork } from "./sidecar.ts";

/** A listening server; it prints `asked` for each connection. */
export interface SlowServer extends AsyncDisposable {
  /** Resolves once somebody has connected, whom `answer()` will answer. */
  waitUntilAsked(): Promise<void>;
  /** Answers those who have connected, and ends. */
  answer(): void;
}

/** Listens on `port` in both families, and answers with the line `text`. */
export async function startSlowServer({ netnsPath }: PodNetwork, port: number, text: string): Promise<SlowServer> {
  // It listens for the signal before it says that it was asked; SIGUSR1 is Node's own.
  const program = `require("node:net").createServer((socket) => {
    process.on("SIGUSR2", () => { socket.end(${JSON.stringify(`${text}\n`)}); socket.on("close", () => process.exit()); });
    console.log("asked");
  }).listen(${port}, "::", () => console.log("listening"))`;
  const server: RunningCommand = startCommand(["nsenter", `--net=${netnsPath}`, process.execPath, "-e", program]);
  await server.waitForLine((line) => line === "listening");
  return {
    waitUntilAsked: async () => void (await server.waitForLine((line) => line === "asked")),
    answer: () => void process.kill(server.pid, "SIGUSR2"),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
