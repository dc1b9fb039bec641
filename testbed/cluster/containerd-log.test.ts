import assert from "node:assert/strict";
import { test } from "node:test";
import { parseContainerStart, parseSandboxStarts } from "./containerd-log.ts";

const metadata = (name: string) =>
  `RunPodSandbox for &PodSandboxMetadata{Name:${name},Uid:77514b60-4af9-45c8-adcc-a27778853023,Namespace:shop,Attempt:0,}`;
const line = (time: string, message: string, level = "info") =>
  `time="2026-11-22T09:31:${time}Z" level=${level} msg="${message}"`;
const LOG = [
  line("28.002570264", metadata("a")),
  line("28.1", metadata("b")),
  `${line("28.15", "loading plugin")} type=io.containerd.internal.v1`,
  line("28.167715659", `${metadata("a")} returns sandbox id \\"483d\\"`),
  `${line("29", `${metadata("b")} failed, error`, "error")} error="plugin type=\\"istio-cni\\" failed"`,
  line("29.5", metadata("cut-short")),
  line("30.238431187", 'StartContainer for \\"e9396\\"'),
  line("30.348290767", 'StartContainer for \\"e9396\\" returns successfully'),
].join("\n");

test("parseSandboxStarts() tells begin and end of each attempt, also of one that failed", () => {
  const at = (seconds: number) => Date.parse("2026-11-22T09:31:00Z") + seconds * 1000;
  const starts = parseSandboxStarts(LOG).map(({ startMs, endMs, ...rest }) => ({
    ...rest,
    startMs: Math.round(startMs),
    endMs: Math.round(endMs),
  }));
  assert.deepEqual(starts, [
    { namespace: "shop", name: "a", isMade: true, startMs: at(28.003), endMs: at(28.168) },
    { namespace: "shop", name: "b", isMade: false, startMs: at(28.1), endMs: at(29) },
  ]);
});

test("parseContainerStart() tells when the start was asked for", () => {
  assert.equal(Math.round(parseContainerStart(LOG, "e9396") ?? 0), Date.parse("2026-11-22T09:31:30.238Z"));
  assert.equal(parseContainerStart(LOG, "e93"), undefined);
});
