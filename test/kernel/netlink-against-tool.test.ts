import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { encodeIptablesNft } from "../../src/core/netlink/iptables-nft.ts";
import { attributeMap, parseMessages, readString } from "../../src/core/netlink/message.ts";
import { NFGENMSG_BYTES, NFT_MSG, NFTA_CHAIN, NFTA_RULE } from "../../src/core/netlink/nfnetlink.ts";
import type { Expression } from "../../src/core/netlink/nft-expression.ts";
import { parseExpressions } from "../../src/core/netlink/nft-expression.ts";
import type { Ruleset } from "../../src/core/rules/model.ts";
import { renderIptables } from "../../src/core/rules/render-iptables.ts";
import { sidecarRules } from "../../src/core/rules/sidecar.ts";
import { SIDECAR_CASES } from "../../src/core/rules/sidecar-cases.ts";
import { createNetns } from "../../testbed/netns.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "netlink-capture-"));
  const source = new URL("netlink-capture.c", import.meta.url).pathname;
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim(), source, "-ldl"], {
    timeout: 60_000,
  });
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const [name, capture] of Object.entries(SIDECAR_CASES)) {
  test(`${name}: our batch says to the kernel what iptables-nft-restore 1.8.9 says for the same rules`, () => {
    for (const ruleset of sidecarRules(capture)) {
      const ours = meaning(encodeIptablesNft([ruleset]));
      const theirs = meaning(captureTool(name, ruleset));
      // The tool also makes base chains nobody uses, because the rendered text names them.
      for (const chain of theirs.keys())
        if (!ours.has(chain) && theirs.get(chain)?.rules.length === 0) theirs.delete(chain);
      assert.deepEqual(Object.fromEntries(ours), Object.fromEntries(theirs));
    }
  });
}

/** What a run of batches means: chain → how it is attached, and its rules (all are appended). */
type Meaning = Map<string, { attached: string; rules: { compat: string; expressions: readonly Expression[] }[] }>;

function meaning(batches: Uint8Array): Meaning {
  const chains: Meaning = new Map();
  for (const { type, payload } of parseMessages(batches)) {
    if (payload.length <= NFGENMSG_BYTES) continue;
    const attributes = attributeMap(payload.subarray(NFGENMSG_BYTES));
    const text = (attribute: number): string => readString(attributes.get(attribute) ?? new Uint8Array());
    const hex = (attribute: number): string => Buffer.from(attributes.get(attribute) ?? []).toString("hex");
    if (type === NFT_MSG.NEWCHAIN) {
      const key = `${payload[0]} ${text(NFTA_CHAIN.TABLE)} ${text(NFTA_CHAIN.NAME)}`;
      const attached = [hex(NFTA_CHAIN.HOOK), hex(NFTA_CHAIN.POLICY), text(NFTA_CHAIN.TYPE)].join(" ");
      if (!chains.has(key)) chains.set(key, { attached, rules: [] });
    }
    if (type === NFT_MSG.NEWRULE) {
      const chain = chains.get(`${payload[0]} ${text(NFTA_RULE.TABLE)} ${text(NFTA_RULE.CHAIN)}`);
      assert.ok(chain, "a chain is made before its rules");
      const expressions = parseExpressions(attributes.get(NFTA_RULE.EXPRESSIONS) ?? new Uint8Array());
      chain.rules.push({ compat: hex(NFTA_RULE.COMPAT), expressions });
    }
  }
  return chains;
}

function captureTool(name: string, ruleset: Ruleset): Uint8Array {
  using netns = createNetns({ loopbackUp: false });
  const tool = ruleset.family === 4 ? "iptables-nft-restore" : "ip6tables-nft-restore";
  const path = join(folder, `${name}-${ruleset.family}`);
  const env = { LD_PRELOAD: shim(), NETLINK_CAPTURE: path };
  netns.mustExec([tool, "--noflush"], { input: renderIptables(ruleset), env });
  return new Uint8Array(readFileSync(path));
}

function shim(): string {
  return join(folder, "netlink-capture.so");
}
