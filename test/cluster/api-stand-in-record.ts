// What a real kube-apiserver answered to the script, testdata/api-stand-in.json, and comparing others with it.
import { deepEqual, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createWireClient, type WireClientOptions } from "../../testbed/api-server/wire-client.ts";
import { runScript } from "./api-stand-in-script.ts";
import type { TranscriptEntry } from "./api-stand-in-transcript.ts";

/** Of which version it is. */
export const RECORDED = "v1.35.4";
const RECORD = join(import.meta.dirname, "testdata/api-stand-in.json");

/** What a server answers to the script. */
export async function answerScript(options: WireClientOptions): Promise<readonly TranscriptEntry[]> {
  const { url, caPem } = options;
  using admin = createWireClient(options);
  using stranger = createWireClient({ url, caPem, token: "nobody-knows-this-token" });
  using anonymous = createWireClient({ url, caPem });
  return await runScript({ admin, stranger, anonymous }, `stand-in-${randomBytes(4).toString("hex")}`);
}

/** Compares with what was recorded, step by step, so that a failure names the step; collects all before it fails. */
export function compareWithRecord(actual: readonly TranscriptEntry[]): void {
  const golden = readRecord();
  const differing: { readonly step: string; readonly actual: unknown; readonly golden: unknown }[] = [];
  for (const [index, entry] of golden.entries()) {
    try {
      deepEqual(actual[index], entry);
    } catch {
      differing.push({ step: entry.step, actual: actual[index], golden: entry });
    }
  }
  deepEqual(
    differing.map(({ actual: seen }) => seen),
    differing.map(({ golden: wanted }) => wanted),
  );
  deepEqual(actual.length, golden.length);
}

function readRecord(): readonly TranscriptEntry[] {
  const parsed: unknown = JSON.parse(readFileSync(RECORD, "utf8"));
  ok(Array.isArray(parsed));
  return parsed;
}

/** Writes the record anew. */
export function writeRecord(entries: readonly TranscriptEntry[]): void {
  writeFileSync(RECORD, `[\n${entries.map((entry) => `  ${JSON.stringify(entry)}`).join(",\n")}\n]\n`);
}
