/**
 * CNI_ARGS as kubelet's runtimes fill it: who the pod is. Parsing only; what an absent name means is the policy's.
 */
import { quoteText } from "../short-text.ts";
import { CniError } from "./cni-error.ts";

/** Values as given; a key that is absent or empty is undefined. */
export type CniArgs = {
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly podUid: string | undefined;
  readonly infraContainerId: string | undefined;
};

const POD_KEYS = {
  K8S_POD_NAME: "podName",
  K8S_POD_NAMESPACE: "podNamespace",
  K8S_POD_UID: "podUid",
  K8S_POD_INFRA_CONTAINER_ID: "infraContainerId",
} as const satisfies Record<string, keyof CniArgs>;

/** So many unknown keys are named in a message, the runtime chooses how many there are. */
const MAX_NAMED_KEYS = 10;

const BOOLEANS: Readonly<Record<string, boolean>> = { "1": true, true: true, "0": false, false: false };

/**
 * Reads `K=V;K=V`. The rules are those of libcni's pkg/types/args.go@v1.3.0: exactly one `=` in each pair, later
 * pairs win, keys we do not know are an error unless IgnoreUnknown is set. An empty text has no pairs.
 * @throws CniError code 4
 */
export function parseCniArgs(text: string): CniArgs {
  const args: Record<keyof CniArgs, string | undefined> = {
    podName: undefined,
    podNamespace: undefined,
    podUid: undefined,
    infraContainerId: undefined,
  };
  const unknownKeys: string[] = [];
  let ignoreUnknown = false;
  for (const pair of text === "" ? [] : text.split(";")) {
    const [key, value, ...rest] = pair.split("=");
    if (key === undefined || value === undefined || rest.length > 0) {
      throw new CniError(
        "invalidEnvironment",
        `Cannot read CNI_ARGS: invalid pair ${quoteText(pair)}, accepted is KEY=VALUE`,
      );
    }
    if (key === "IgnoreUnknown") ignoreUnknown = parseIgnoreUnknown(value);
    else if (isPodKey(key)) args[POD_KEYS[key]] = value === "" ? undefined : value;
    else unknownKeys.push(key);
  }
  if (unknownKeys.length > 0 && !ignoreUnknown) {
    const more = unknownKeys.length > MAX_NAMED_KEYS ? ` and ${unknownKeys.length - MAX_NAMED_KEYS} more` : "";
    const names = `${unknownKeys
      .slice(0, MAX_NAMED_KEYS)
      .map((key) => quoteText(key))
      .join(", ")}${more}`;
    throw new CniError("invalidEnvironment", `Cannot read CNI_ARGS: unknown key ${names} without IgnoreUnknown=1`);
  }
  return args;
}

function isPodKey(key: string): key is keyof typeof POD_KEYS {
  return Object.hasOwn(POD_KEYS, key);
}

function parseIgnoreUnknown(value: string): boolean {
  const parsed = Object.hasOwn(BOOLEANS, value.toLowerCase()) ? BOOLEANS[value.toLowerCase()] : undefined;
  if (parsed === undefined) {
    const found = quoteText(value);
    throw new CniError(
      "invalidEnvironment",
      `Cannot read CNI_ARGS: IgnoreUnknown is ${found}, accepted are 1, 0, true, false`,
    );
  }
  return parsed;
}
