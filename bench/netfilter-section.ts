// 4. What programming one pod costs inside the agent: the same code, in this process, on fresh namespaces. The parts are
// measured on their own, so their sum is a little more than the whole.

import { exchange } from "../src/agent/netfilter/netlink-conversation.ts";
import { createBackend } from "../src/cmd/backend.ts";
import { encodeIptablesNft } from "../src/core/netlink/iptables-nft.ts";
import { parseBatchOutcome } from "../src/core/netlink/nfnetlink.ts";
import { NETLINK_PROTOCOL } from "../src/core/netlink/rtnetlink.ts";
import { sidecarRules } from "../src/core/rules/sidecar.ts";
import { DEFAULT_SIDECAR_CAPTURE, type SidecarCapture } from "../src/core/rules/sidecar-capture.ts";
import { openNetlink } from "../src/platform/linux/netlink-socket.ts";
import { createNetns } from "../testbed/netns.ts";
import type { Bench } from "./bench-node.ts";
import { createFigure, type Figure } from "./figure.ts";

const SECTION = "4. Agent: programming one pod's rules, in process";
const WARM_UP_ROUNDS = 20;
const BOTH: SidecarCapture = { ...DEFAULT_SIDECAR_CAPTURE, families: { v4: true, v6: true } };

/** Names of the rows, in the order of the report. */
const ROWS = {
  v4: "default capture, v4: all of it",
  both: "default capture, v4 and v6: all of it",
  open: "  of it (v4): enter the namespace, open the socket, return, close it",
  encode: "  of it (v4): make the rules and encode them",
  commit: "  of it (v4): send the batch and read the kernel's answer",
  again: "again in the same namespace (reads the rules, changes nothing)",
  drift: "verify (reads the rules and compares)",
} as const;

export async function measureNetfilter({ plan, say }: Pick<Bench, "plan" | "say">): Promise<Figure[]> {
  const { backend } = createBackend({ nativeNftables: false, forceIptables: undefined }, []);
  const series: Record<keyof typeof ROWS, number[]> = {
    v4: [],
    both: [],
    open: [],
    encode: [],
    commit: [],
    again: [],
    drift: [],
  };
  let firstMs: number | undefined;
  using netnses = new DisposableStack();
  const fresh = (): number => netnses.use(createNetns({ loopbackUp: false })).fd;

  for (let round = -WARM_UP_ROUNDS; round < plan.netfilterRounds; round++) {
    if (round === 0) say("  warm");
    const [first, second, third] = [fresh(), fresh(), fresh()];
    const time = async (row: keyof typeof ROWS, action: () => unknown): Promise<void> => {
      const start = performance.now();
      await action();
      const ms = performance.now() - start;
      if (round >= 0) series[row].push(ms);
      else if (row === "v4") firstMs ??= ms;
    };
    await time("v4", () => backend.apply(first, DEFAULT_SIDECAR_CAPTURE));
    await time("both", () => backend.apply(second, BOTH));
    await time("open", () => openNetlink(NETLINK_PROTOCOL.netfilter, third).close());
    let batch: Uint8Array = new Uint8Array();
    await time("encode", () => {
      batch = encodeIptablesNft(sidecarRules(DEFAULT_SIDECAR_CAPTURE));
    });
    using socket = openNetlink(NETLINK_PROTOCOL.netfilter, third);
    await time("commit", () => {
      const outcome = parseBatchOutcome(exchange(socket, batch));
      if (outcome?.kind !== "committed") throw new Error("Cannot measure: the kernel refused the batch");
    });
    await time("again", () => backend.apply(first, DEFAULT_SIDECAR_CAPTURE));
    await time("drift", () => backend.drift(first, DEFAULT_SIDECAR_CAPTURE));
    // Nothing else runs in this process while a round lasts; between rounds the event loop gets its turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const rows = Object.keys(ROWS) as (keyof typeof ROWS)[];
  return [
    createFigure(SECTION, "the first one of this process (cold code)", "ms", firstMs === undefined ? [] : [firstMs]),
    ...rows.map((row) => createFigure(SECTION, ROWS[row], "ms", series[row])),
  ];
}
