// What somebody with CAP_NET_ADMIN in a pod may leave in its tables so that a look is deceived or a repair refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch, NFT_MSG, NFTA_CHAIN, type NftFamily } from "../../src/core/netlink/nfnetlink.ts";
import { appendRule, deleteRule } from "../../src/core/netlink/nft-message.ts";
import { NETLINK_PROTOCOL, NLM_F } from "../../src/core/netlink/rtnetlink.ts";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";
import { openNetlink } from "../../src/platform/linux/netlink-socket.ts";
import { createNetns, type TestNetns } from "../../testbed/netns.ts";
import { backendOf, FAMILIES } from "./backend-fixture.ts";
import { mustSendBatch } from "./netlink-exchange.ts";

const CAPTURE = { ...DEFAULT_SIDECAR_CAPTURE, dnsCapture: true, families: FAMILIES.v4 };

const PLACES = [
  { dialect: "iptables-nft", family: 4, table: "ip nat", inbound: "ISTIO_INBOUND", own: "ISTIO_IN_REDIRECT" },
  {
    dialect: "nftables",
    family: "inet",
    table: "inet istio-proxy-nat",
    inbound: "istio-inbound",
    own: "istio-in-redirect",
  },
] as const;

for (const { dialect, family, table, inbound, own } of PLACES) {
  const evil = dialect === "nftables" ? "istio-evil" : "ISTIO_EVIL";

  test(`${dialect}: a chain whose name is no text is seen and goes, beside the one it looks like`, async () => {
    for (const bytes of [Uint8Array.of(0xef, 0xbb, 0xbf, ...bytesOf(own)), Uint8Array.of(...bytesOf(evil), 0xff)]) {
      using netns = await capturedPod(dialect);
      makeChain(netns, { family, table, name: bytes });
      netns.mustExec(["nft", `flush chain ${table} ${inbound}`]);
      await assertRepaired(netns, dialect);
    }
  });

  test(`${dialect}: a jump to a chain with the name of a target is not that target`, async () => {
    using netns = await capturedPod(dialect);
    const target = "REDIRECT --to-ports 15006";
    makeChain(netns, { family, table, name: bytesOf(target) });
    const ref = { family, table: table.split(" ")[1] ?? "", chain: own };
    const jump = [
      { kind: "meta", key: 16 },
      { kind: "cmp", operator: "eq", value: Uint8Array.of(6) },
      { kind: "counter" },
      { kind: "verdict", code: -3, chain: target },
    ] as const;
    using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
    const handle = handleOf(netns, `${table} ${own}`, "redirect");
    mustSendBatch(socket, encodeBatch([deleteRule(ref, handle), appendRule(ref, jump)]));
    await assertRepaired(netns, dialect);
  });

  test(`${dialect}: a chain that cannot go does not keep the rules from coming back`, async () => {
    using netns = await capturedPod(dialect);
    netns.mustExec([
      "nft",
      `add chain ${table} ${evil}; add map ${table} held { type inet_service : verdict; elements = { 80 : jump ${evil} }; }
       flush chain ${table} ${inbound}`,
    ]);
    await backendOf(dialect).apply(netns.fd, CAPTURE);
    const left = dialect === "nftables" ? [] : [`chain nat/${evil} of IPv4 is left over`];
    assert.deepEqual(await backendOf(dialect).drift(netns.fd, CAPTURE), left);
    if (left.length > 0) await assert.rejects(backendOf(dialect).apply(netns.fd, CAPTURE), { code: "refused" });
  });
}

test("nftables: a chain of ours at a hook of a device is made anew", async () => {
  using netns = await capturedPod("nftables");
  const hook = "{ type filter hook ingress device lo priority 0; }";
  netns.mustExec([
    "nft",
    `flush table inet istio-proxy-nat; delete chain inet istio-proxy-nat istio-in-redirect
     add chain inet istio-proxy-nat istio-in-redirect ${hook}`,
  ]);
  await assertRepaired(netns, "nftables");
});

test("nftables: ports of a set that forgets them are not the ports", async () => {
  using netns = await capturedPod("nftables");
  const place = "inet istio-proxy-nat istio-output";
  const line = ruleOf(netns, place, "{ 53, 15008 }");
  const rule = line.replace(/ # .*/, "").replace(/counter packets \d+ bytes \d+/, "counter");
  netns.mustExec([
    "nft",
    `add set inet istio-proxy-nat s { type inet_service; flags timeout; timeout 1h; elements = { 53, 15008 }; }
     replace rule ${place} handle ${handleOf(netns, place, "{ 53, 15008 }")} ${rule.replace("{ 53, 15008 }", "@s")}`,
  ]);
  await assertRepaired(netns, "nftables");
});

test("nftables: of sets without number not each is read", async () => {
  using netns = await capturedPod("nftables");
  const place = "inet istio-proxy-nat";
  const sets = Array.from({ length: 200 }, (_, set) => `s${set}`);
  const made = sets.map((set) => `add set ${place} ${set} { type inet_service; elements = { 1 }; }`);
  const looks = sets.map((set) => `add rule ${place} evil tcp dport @${set} accept`);
  const input = [`add chain ${place} evil`, ...made, ...looks, ""].join("\n");
  netns.mustExec(["nft", "-f", "-"], { input });
  let asked = 0;
  const counting: typeof openNetlink = (protocol, fd) => {
    const socket = openNetlink(protocol, fd);
    return new Proxy(socket, {
      get: (target, key) => {
        if (key === "send") asked += 1;
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  const drift = await backendOf("nftables", { openNetlink: counting }).drift(netns.fd, CAPTURE);
  assert.deepEqual(drift, ["chain istio-proxy-nat/evil is left over"]);
  assert.ok(asked < 100, `${asked} requests`);
});

test("iptables-legacy: a comment with line ends neither hides what is missing nor keeps it from coming back", async () => {
  for (const chain of ["OUTPUT", "ISTIO_REDIRECT"]) {
    using netns = await capturedPod("iptables-legacy");
    const comment = "a\n-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n# ";
    const tool = ["iptables-legacy", "-t", "nat"];
    netns.mustExec([...tool, "-F", "ISTIO_REDIRECT"]);
    netns.mustExec([...tool, "-A", chain, "-m", "comment", "--comment", comment, "-j", "RETURN"]);
    await assertRepaired(netns, "iptables-legacy");
  }
});

type Dialect = "iptables-legacy" | (typeof PLACES)[number]["dialect"];

async function capturedPod(dialect: Dialect): Promise<TestNetns> {
  const netns = createNetns();
  netns.mustExec(["ip", "addr", "add", "10.0.0.5/24", "dev", "lo"]);
  await backendOf(dialect).apply(netns.fd, CAPTURE);
  return netns;
}

async function assertRepaired(netns: TestNetns, dialect: Dialect): Promise<void> {
  const backend = backendOf(dialect);
  assert.notDeepEqual(await backend.drift(netns.fd, CAPTURE), []);
  assert.equal((await backend.apply(netns.fd, CAPTURE)).changed, true);
  assert.deepEqual(await backend.drift(netns.fd, CAPTURE), []);
}

function makeChain(
  netns: TestNetns,
  { family, table, name }: { readonly family: NftFamily; readonly table: string; readonly name: Uint8Array },
): void {
  using socket = openNetlink(NETLINK_PROTOCOL.netfilter, netns.fd);
  const body: Parameters<typeof encodeBatch>[0][number]["body"] = (writer) => {
    writer.attributeString(NFTA_CHAIN.TABLE, table.split(" ")[1] ?? "");
    writer.attributeBytes(NFTA_CHAIN.NAME, Uint8Array.of(...name, 0));
  };
  mustSendBatch(socket, encodeBatch([{ type: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE, family, body }]));
}

function ruleOf(netns: TestNetns, place: string, text: string): string {
  const lines = netns.mustExec(["nft", "-a", "list", "chain", ...place.split(" ")]).split("\n");
  return lines.find((line) => line.includes("counter") && line.toLowerCase().includes(text))?.trim() ?? "";
}

function handleOf(netns: TestNetns, place: string, text: string): bigint {
  return BigInt(/# handle (\d+)$/.exec(ruleOf(netns, place, text))?.[1] ?? 0);
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
