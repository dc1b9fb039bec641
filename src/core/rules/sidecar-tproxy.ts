// The marks that let TPROXY tell three kinds of packets on `lo` apart: contract 5.4 row 32. There in TPROXY mode even
// when no inbound port is captured.

import { FAMILIES } from "../address.ts";
import type { PlannedRule } from "./planned-rule.ts";
import {
  connmark,
  destination,
  gidOwner,
  iifname,
  mark,
  not,
  oifname,
  planRule,
  RESTORE_MARK,
  RETURN,
  SAVE_MARK,
  setMark,
  source,
  TCP,
  uidOwner,
} from "./rule-words.ts";
import type { SidecarCapture } from "./sidecar-capture.ts";
import { CHAIN, loopbackOf, OUTBOUND_MARK, passthroughSourceOf, TPROXY_MARK } from "./sidecar-numbers.ts";

/** Row 32. */
export function planTproxyMarks(capture: SidecarCapture): PlannedRule[] {
  if (capture.mode !== "TPROXY") return [];
  const proxies = [...capture.proxyUids.map(uidOwner), ...capture.proxyGids.map(gidOwner)];
  return [
    planRule(
      "mangle",
      "PREROUTING",
      "The mark the proxy gave a packet is remembered for its connection",
      [TCP, mark(TPROXY_MARK)],
      SAVE_MARK,
    ),
    planRule(
      "mangle",
      "OUTPUT",
      "What the proxy sends to the application is marked already",
      [oifname("lo"), TCP, mark(TPROXY_MARK)],
      RETURN,
    ),
    ...proxies.flatMap((proxy) =>
      FAMILIES.map((family) =>
        planRule(
          "mangle",
          "OUTPUT",
          "What the proxy sends to the pod's own address is to be inbound traffic",
          [oifname("lo"), TCP, not(destination(loopbackOf(capture, family))), proxy],
          setMark(OUTBOUND_MARK),
          { family },
        ),
      ),
    ),
    planRule(
      "mangle",
      "OUTPUT",
      "Answers of the application go back to the proxy",
      [TCP, connmark(TPROXY_MARK)],
      RESTORE_MARK,
    ),
    planRule(
      "mangle",
      CHAIN.inbound,
      "What the proxy sends to the application is not captured again",
      [TCP, mark(TPROXY_MARK)],
      RETURN,
      {
        at: 0,
      },
    ),
    ...FAMILIES.map((family) =>
      planRule(
        "mangle",
        CHAIN.inbound,
        "Nor are its passthrough connections",
        [iifname("lo"), TCP, source(passthroughSourceOf(family))],
        RETURN,
        { family, at: 1 },
      ),
    ),
    planRule(
      "mangle",
      CHAIN.inbound,
      "Applications of the pod talk to each other directly",
      [iifname("lo"), TCP, not(mark(OUTBOUND_MARK))],
      RETURN,
      { at: 2 },
    ),
  ];
}
