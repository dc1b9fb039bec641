/**
 * What the agent tells of one packet of one pod, by the rules that its kernel holds: the document behind
 * `GET /pods/NAMESPACE/NAME/trace` and `install-cni trace`. The shapes are its schema, by the rules of
 * core/status/status-document.ts.
 */

import { exactly, FLAG, listOf, NUMBER, object, oneOf, orNull, TEXT, type TypeOf } from "../status/shape.ts";

export const TRACE_SCHEMA_VERSION = 1;

/** `passed`: it goes where it was sent. `unknown`: the explanation says what is in the way of knowing. */
export const TRACE_VERDICTS = ["redirected", "passed", "dropped", "unknown"] as const;

export const TRACE_DOCUMENT = object({
  schemaVersion: exactly(TRACE_SCHEMA_VERSION),
  at: TEXT,
  node: TEXT,
  pod: object({ namespace: TEXT, name: TEXT, uid: TEXT }),
  netns: object({ inode: TEXT, source: oneOf(["add", "uid", "ip"]) }),
  /** The first packet of a connection, all of it as it was taken. */
  packet: object({
    direction: oneOf(["outbound", "inbound"]),
    family: oneOf(["ipv4", "ipv6"]),
    protocol: oneOf(["tcp", "udp"]),
    source: TEXT,
    sourcePort: NUMBER,
    destination: TEXT,
    destinationPort: NUMBER,
    /** By which it leaves or comes in; null where the kernel knows no way. */
    interface: orNull(TEXT),
    /** Of who sends it; null for what comes in. */
    uid: orNull(NUMBER),
    gid: orNull(NUMBER),
    mark: NUMBER,
  }),
  verdict: oneOf(TRACE_VERDICTS),
  /** How it is redirected, and to which port of the pod; null for other verdicts. */
  how: orNull(oneOf(["REDIRECT", "TPROXY"])),
  port: orNull(NUMBER),
  explanation: TEXT,
  /** The rules that matched, in order; with an unknown verdict those before the place where it stops. */
  steps: listOf(
    object({
      /** "ipv4", "ipv6", "inet": of the table. */
      family: TEXT,
      table: TEXT,
      chain: TEXT,
      /** As the tool that shows such tables writes it; null: the policy of the chain, or no route for the packet's mark. */
      rule: orNull(TEXT),
      meaning: TEXT,
      /** It is one of those that this pod should have. */
      isWanted: FLAG,
    }),
  ),
  omittedSteps: NUMBER,
  /** The packet's mark at the end, as far as it was followed. */
  mark: NUMBER,
  tookMs: NUMBER,
});

export type TraceDocument = TypeOf<typeof TRACE_DOCUMENT>;
