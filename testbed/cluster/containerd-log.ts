// When the node's containerd made sandboxes and started containers, from its log: the one place that tells it finer than in
// the whole seconds of the API. Pure text.

/** One attempt at a pod's sandbox: network namespace, all CNI plugins, pause container. */
export interface SandboxStart {
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  readonly isMade: boolean;
}

const LINE = /^time="([^"]+)" level=\w+ msg="((?:[^"\\]|\\.)*)"/gm;
const SANDBOX = /^RunPodSandbox for &PodSandboxMetadata\{Name:([^,]+),Uid:[^,]+,Namespace:([^,]+),Attempt:\d+,\}/;
const CONTAINER = /^StartContainer for \\"([0-9a-f]+)\\"$/;

/** The attempts that have ended, in the order of their ends. One that a power cut ended does not count. */
export function parseSandboxStarts(log: string): readonly SandboxStart[] {
  const begun = new Map<string, number>();
  return messages(log).flatMap(({ timeMs, message }) => {
    const [metadata, name = "", namespace = ""] = SANDBOX.exec(message) ?? [];
    if (metadata === undefined) return [];
    const rest = message.slice(metadata.length);
    const isMade = rest.startsWith(" returns sandbox id");
    const startMs = begun.get(metadata);
    if (!isMade && !rest.startsWith(" failed")) begun.set(metadata, timeMs);
    else if (startMs !== undefined && begun.delete(metadata)) {
      return { namespace, name, startMs, endMs: timeMs, isMade };
    }
    return [];
  });
}

/** When containerd was asked to start a container, in milliseconds since 1970; undefined: never. */
export function parseContainerStart(log: string, containerId: string): number | undefined {
  return messages(log).find(({ message }) => CONTAINER.exec(message)?.[1] === containerId)?.timeMs;
}

function messages(log: string): { readonly timeMs: number; readonly message: string }[] {
  return [...log.matchAll(LINE)].map(([, time = "", message = ""]) => ({ timeMs: parseTime(time), message }));
}

/** RFC 3339 with up to nine digits behind the point, of which Date reads three. */
function parseTime(text: string): number {
  const [, seconds = "", fraction = "0", zone = "Z"] = /^([^.Z]+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  return Date.parse(`${seconds}${zone}`) + Number(`0.${fraction}`) * 1000;
}
