// Namespaces as upstream's agent leaves them: rules by its tools in its words, routing by ip.

import { readFileSync } from "node:fs";
import type { BackendDialect } from "../../src/core/policy/backend-features.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import type { PodCapture } from "../../src/core/rules/pod-capture.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import type { TestNetns } from "../../testbed/netns.ts";
import { DIALECTS, rulesIn } from "./backend-fixture.ts";

/** As upstream writes native nftables: one transaction of nft, in the words of contract 5.5 and 7.6
 * (testdata/upstream-native). */
export function loadAsUpstream(netns: Pick<TestNetns, "mustExec">, name: string): void {
  const input = readFileSync(`${import.meta.dirname}/testdata/upstream-native/${name}.nft`, "utf8");
  netns.mustExec(["nft", "-f", "-"], { input });
}

/** As upstream writes iptables: its text, its program. */
export function restoreAsUpstream(netns: TestNetns, ruleset: Ruleset, variant: "nft" | "legacy" = "nft"): void {
  const tool = `${ruleset.family === 6 ? "ip6tables" : "iptables"}-${variant}-restore`;
  netns.mustExec([tool, "--noflush"], { input: renderIptables(ruleset) });
}

/** Contract 5.6: no mask, no priority. 7.7: both. */
export function prepareRoutingAsUpstream(netns: TestNetns, mode: PodCapture["mode"]): void {
  if (mode !== "ambient") netns.mustExec(["ip", "-6", "addr", "add", "::6/128", "dev", "lo"]);
  if (mode === "REDIRECT") return;
  const [mark, table, priority] = mode === "ambient" ? ["0x111/0xfff", "100", ["pref", "32764"]] : ["1337", "133", []];
  for (const [family, everything] of [
    ["-4", "0.0.0.0/0"],
    ["-6", "::/0"],
  ] as const) {
    netns.mustExec(["ip", family, "rule", "add", "fwmark", mark, "lookup", table, ...priority]);
    netns.mustExec(["ip", family, "route", "add", "local", everything, "dev", "lo", "table", table]);
  }
}

/** The dialects that have rules in the namespace. */
export function dialectsIn(netns: TestNetns): BackendDialect[] {
  const lines = rulesIn(netns);
  return DIALECTS.filter((dialect) =>
    lines.some((line) => {
      if (dialect === "nftables") return line.startsWith("table inet istio-");
      return line.split(" ")[0]?.endsWith(dialect === "iptables-nft" ? "-nft-save" : "-legacy-save") === true;
    }),
  );
}
