// The stand-in and a real kube-apiserver must answer one script alike. testdata/api-stand-in.json holds what the real
// one answered (v1.35.4); KUBECONFIG makes a cluster answer it again, UPDATE_API_TRANSCRIPT=1 records that anew.
import { deepEqual, ok } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { createApiServer } from "../../testbed/api-server/api-server.ts";
import { createWireClient, type WireClientOptions } from "../../testbed/api-server/wire-client.ts";
import { runScript } from "./api-stand-in-script.ts";
import type { TranscriptEntry } from "./api-stand-in-transcript.ts";

const GOLDEN = join(import.meta.dirname, "testdata/api-stand-in.json");
const kubeconfig = process.env["KUBECONFIG"];

test("the stand-in answers as the recorded kube-apiserver did", async () => {
  await using server = await createApiServer({ gracefulPods: true });
  compare(await answer({ url: server.url, caPem: server.caPem, token: server.token }), await readGolden());
});

if (kubeconfig !== undefined) {
  test("a real kube-apiserver answers as recorded", async () => {
    const entries = await answer(await readKubeconfig(kubeconfig));
    if (process.env["UPDATE_API_TRANSCRIPT"] === "1") {
      await writeFile(GOLDEN, `[\n${entries.map((entry) => `  ${JSON.stringify(entry)}`).join(",\n")}\n]\n`);
    }
    compare(entries, await readGolden());
  });
}

async function answer(options: WireClientOptions): Promise<readonly TranscriptEntry[]> {
  const { url, caPem } = options;
  using admin = createWireClient(options);
  using stranger = createWireClient({ url, caPem, token: "nobody-knows-this-token" });
  using anonymous = createWireClient({ url, caPem });
  return await runScript({ admin, stranger, anonymous }, `stand-in-${randomBytes(4).toString("hex")}`);
}

/** Compares step by step, so that a failure names the step; collects all before it fails. */
function compare(actual: readonly TranscriptEntry[], golden: readonly TranscriptEntry[]): void {
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

async function readGolden(): Promise<readonly TranscriptEntry[]> {
  const parsed: unknown = JSON.parse(await readFile(GOLDEN, "utf8"));
  ok(Array.isArray(parsed));
  return parsed;
}

// Enough of YAML for the kubeconfigs kind, kubeadm and the lab write: one cluster, one user.
async function readKubeconfig(path: string): Promise<WireClientOptions> {
  const text = await readFile(path, "utf8");
  const value = (key: string): string | undefined =>
    new RegExp(`\\b${key}["']?:\\s*["']?([^\\s"',}]+)`).exec(text)?.[1];
  const pem = async (key: string): Promise<string | undefined> => {
    const data = value(`${key}-data`);
    if (data !== undefined) return Buffer.from(data, "base64").toString();
    const file = value(key);
    return file === undefined ? undefined : await readFile(resolve(dirname(path), file), "utf8");
  };
  const [url, token, caPem, certPem, keyPem] = [
    value("server"),
    value("token"),
    await pem("certificate-authority"),
    await pem("client-certificate"),
    await pem("client-key"),
  ];
  if (url === undefined || caPem === undefined)
    throw new Error(`Cannot use ${path}: it has no server or certificate-authority`);
  return {
    url,
    caPem,
    ...(token === undefined ? {} : { token }),
    ...(certPem === undefined ? {} : { certPem }),
    ...(keyPem === undefined ? {} : { keyPem }),
  };
}
