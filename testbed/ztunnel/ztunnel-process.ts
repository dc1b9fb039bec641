// ztunnel.c as a process of the node: it takes pods from the agent and proxies for them. Root only.
import { join } from "node:path";
import { type RunningCommand, startCommand } from "../node/command.ts";
import { compileStatic } from "../node/compile.ts";

/** Compiles it where that was not done yet; for a container image or `startZtunnel`. */
export function compileZtunnel(): string {
  return compileStatic(join(import.meta.dirname, "ztunnel.c"));
}

export interface ZtunnelProcessOptions {
  readonly socketPath: string;
  readonly dns?: boolean;
  /** Goes through the destination's port 15008 where somebody listens there. */
  readonly tunnel?: boolean;
  /** False: it acknowledges pods and does nothing for them. */
  readonly proxies?: boolean;
  /** It goes nowhere with connections and answers each: who took it. */
  readonly answers?: boolean;
  /** False: it does not start a proxy beside another ztunnel's. */
  readonly reusePort?: boolean;
  /** Tells its readiness over HTTP, on `readyPort` of what is returned. */
  readonly tellsReadiness?: boolean;
}

/** One TCP connection that it proxied, or could not: then `result` says why. Addresses as `ip:port` or `[ip]:port`. */
export interface ProxiedConnection {
  readonly uid: string;
  readonly direction: "outbound" | "inbound" | "hbone";
  readonly peer: string;
  readonly destination: string;
  readonly way: "direct" | "tunnel";
  readonly result: string;
}

export interface ZtunnelProcess extends AsyncDisposable {
  readonly command: RunningCommand;
  /** -1 where it does not tell its readiness. */
  readonly readyPort: number;
  /** Every line it printed: what the agent said and what came of it, and connections. */
  events(): Readonly<Record<string, unknown>>[];
  connections(): ProxiedConnection[];
  /** SIGTERM drains; resolves with the exit status. */
  stop(signal?: NodeJS.Signals): Promise<number>;
}

/** Resolves when it runs; whether it finds an agent is another matter. */
export async function startZtunnel(options: ZtunnelProcessOptions): Promise<ZtunnelProcess> {
  const flags = [
    ...["--socket", options.socketPath],
    ...(options.dns === true ? ["--dns"] : []),
    ...(options.tunnel === true ? ["--tunnel"] : []),
    ...(options.proxies === false ? ["--no-proxy"] : []),
    ...(options.answers === true ? ["--answers"] : []),
    ...(options.reusePort === false ? ["--no-reuse-port"] : []),
    ...(options.tellsReadiness === true ? ["--ready-port", "0"] : []),
  ];
  const command = startCommand([compileZtunnel(), ...flags]);
  const first = parseLine(await command.waitForLine((line) => line.includes('"started"')));
  const events = (): Readonly<Record<string, unknown>>[] => command.lines.map(parseLine);
  return {
    command,
    readyPort: Number(first["readyPort"]),
    events,
    connections: () =>
      events()
        .filter(({ event }) => event === "connection")
        .map((line) => ({
          ...{ uid: String(line["uid"]), peer: String(line["peer"]), destination: String(line["destination"]) },
          direction: line["direction"] as ProxiedConnection["direction"],
          way: line["way"] as ProxiedConnection["way"],
          result: String(line["result"]),
        })),
    stop: (signal = "SIGTERM") => command.stop(signal, 20_000),
    [Symbol.asyncDispose]: async () => void (await command.stop("SIGKILL")),
  };
}

/** What is no JSON (a complaint on stderr) is told as itself. */
function parseLine(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : { text };
  } catch {
    return { text };
  }
}
