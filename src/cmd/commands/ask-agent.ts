// What `install-cni status` and `install-cni explain` have in common: finding the agent's socket, asking, reading the answer,
// and how they end.
import { resolveConfig } from "../../core/config/resolve-config.ts";
import { type Shape, ShapeError } from "../../core/status/shape.ts";
import { askOverUnix, UnixRequestError, type UnixRequestErrorCode } from "../../platform/http/unix-client.ts";
import type { OptionFlags } from "../flags.ts";
import { adminSocketPath } from "../paths.ts";

/** How the commands that ask end; documented in `install-cni --help`. */
export const QUERY_EXIT_CODES = { allGood: 0, needsAttention: 1, cannotTell: 2, unknownPod: 3 } as const;

/** Texts for standard output and standard error, and the status to end with. */
export interface QueryOutcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: (typeof QUERY_EXIT_CODES)[keyof typeof QUERY_EXIT_CODES];
}

export interface QueryInput {
  readonly flags: OptionFlags;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: "text" | "json";
  readonly hasColours: boolean;
}

const TIMEOUT_MS = 10_000;
/** Some 2000 pods with the longest annotations there can be. */
const MAX_BYTES = 64 * 1024 * 1024;
const RUN_DIR_VARIABLE = "CNI_AGENT_RUN_DIR";

const HINTS: Readonly<Partial<Record<UnixRequestErrorCode, string>>> = {
  "no-socket": `no agent runs with this run directory; ask on the agent's node, or in its container (kubectl -n istio-system exec POD -- install-cni …), or name the agent's own by ${RUN_DIR_VARIABLE} or --cni-agent-run-dir`,
  "no-listener": "no agent listens there; it may be starting or ending",
  denied: "only root may ask the agent",
  "hung-up": "the agent hung up; it may be ending, be asked by too many, or not take this user for root",
};

/** Asks for `target`. What comes back is a document of this shape, or the end of the command.
 * @throws {ConfigError} for a run directory that is none. */
export async function askAgent<T>(
  target: string,
  shape: Shape<T>,
  { flags, env }: Pick<QueryInput, "flags" | "env">,
  method: "GET" | "PUT" = "GET",
): Promise<{ readonly document: T } | { readonly outcome: QueryOutcome }> {
  // The other variables are the agent's business: asking must work where they are wrong.
  const { config } = resolveConfig({ flags, env: { [RUN_DIR_VARIABLE]: env[RUN_DIR_VARIABLE] } });
  const socketPath = adminSocketPath(config.install.runDir);
  try {
    const { status, body } = await askOverUnix(socketPath, target, {
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_BYTES,
      method,
    });
    if (status === 200) return { document: shape.read(JSON.parse(body), "") };
    const reason = refusalOf(body) ?? `the agent answered ${status}`;
    const isUnknown = status === 404 && target.startsWith("/pods/");
    return { outcome: failure(reason, isUnknown ? QUERY_EXIT_CODES.unknownPod : QUERY_EXIT_CODES.cannotTell) };
  } catch (error) {
    if (error instanceof UnixRequestError) {
      const hint = HINTS[error.code];
      return { outcome: failure(hint === undefined ? error.message : `${error.message}; ${hint}`) };
    }
    if (error instanceof ShapeError || error instanceof SyntaxError) {
      const versions = "the agent may be of another version than this program";
      return { outcome: failure(`Cannot read the agent's answer: ${error.message}; ${versions}`) };
    }
    throw error;
  }
}

function failure(message: string, exitCode: QueryOutcome["exitCode"] = QUERY_EXIT_CODES.cannotTell): QueryOutcome {
  return { stdout: "", stderr: `${message}\n`, exitCode };
}

function refusalOf(body: string): string | undefined {
  try {
    const refusal: unknown = JSON.parse(body);
    if (typeof refusal !== "object" || refusal === null || !("error" in refusal)) return undefined;
    return typeof refusal.error === "string" ? refusal.error : undefined;
  } catch {
    return undefined;
  }
}
