import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SIDECAR_CASES } from "../../../testbed/sidecar/sidecar-cases.ts";
import { sidecarInetRules, sidecarRules } from "../rules/sidecar.ts";
import { decodeIptablesNft, encodeIptablesNft, encodeIptablesNftChange } from "./iptables-nft.ts";
import { NetlinkFormatError, type NetlinkMessage, parseMessages } from "./message.ts";
import { decodeNativeNft, encodeNativeNft } from "./native-nft.ts";
import { NFT_MSG } from "./nfnetlink.ts";
import { assembleNftDump } from "./nft-dump.ts";

const CAPTURE = SIDECAR_CASES["tproxy-dns-drop-invalid"] ?? assert.fail();

/** What a batch creates looks to the decoder like a dump: the same messages, without handles. */
function asDump(batch: Uint8Array): NetlinkMessage[] {
  return parseMessages(batch).filter(({ payload }) => payload.length > 4);
}

test("a batch read as if it were a dump is the ruleset it was made of", () => {
  const desired = sidecarRules(CAPTURE);
  const messages = asDump(encodeIptablesNft(desired));
  const held = [decodeIptablesNft(messages, 4), decodeIptablesNft(messages, 6)];
  assert.equal(encodeIptablesNftChange(held, desired), undefined);
  assert.deepEqual(decodeIptablesNft([], 4), { family: 4, tables: [] });
});

test("a rule that comes before its chain in a dump still finds it, and other families are left out", () => {
  const messages = asDump(encodeIptablesNft(sidecarRules(CAPTURE)));
  const isRule = ({ type }: NetlinkMessage): boolean => type === NFT_MSG.NEWRULE;
  const turned = [...messages.filter(isRule), ...messages.filter((message) => !isRule(message))];
  assert.deepEqual(decodeIptablesNft(turned, 4), decodeIptablesNft(messages, 4));
  assert.deepEqual(
    decodeNativeNft(messages, () => []),
    { family: "inet", tables: [] },
  );
});

test("native rules ask for the elements of each set once", () => {
  const messages = asDump(encodeNativeNft(sidecarInetRules(CAPTURE)));
  const asked: number[] = [];
  for (const dump of [messages, []])
    decodeNativeNft(dump, (requests) => {
      asked.push(requests.length);
      return [];
    });
  assert.deepEqual(asked, [1, 0]);
});

test("iptables rules cannot be written into inet tables nor the other way round", () => {
  const inet = sidecarInetRules(CAPTURE);
  assert.throws(() => encodeIptablesNft([inet]), TypeError);
  assert.throws(() => encodeNativeNft(sidecarRules(CAPTURE)[0] ?? assert.fail()), TypeError);
});

test("damaged messages are refused or opaque, never believed and never a crash", () => {
  const batches = [encodeNativeNft(sidecarInetRules(CAPTURE)), encodeIptablesNft(sidecarRules(CAPTURE))];
  const damage = fc.array(fc.tuple(fc.nat(30_000), fc.nat(255)), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.constantFrom(...batches), damage, (whole, bytes) => {
      const damaged = whole.slice();
      for (const [offset, value] of bytes) damaged[offset % damaged.length] = value;
      try {
        const messages = asDump(damaged);
        assembleNftDump(messages);
        decodeNativeNft(messages, () => messages);
        decodeIptablesNft(messages, 4);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
    { numRuns: 300 },
  );
});
