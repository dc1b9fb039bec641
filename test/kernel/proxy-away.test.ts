// Connections into a captured pod while its proxy does not listen: before it has started, and after it has died. In no dialect
// does the application get them.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DEFAULT_SIDECAR_CAPTURE } from "../../src/core/rules/sidecar-capture.ts";
import { type ProbeResult, probe } from "../../testbed/sidecar/sidecar.ts";
import { backendOf, DIALECTS, FAMILIES } from "./backend-fixture.ts";
import { PLACES } from "./case-table-probes.ts";
import { createStage, NETTOOL } from "./case-table-stage.ts";

const APPLICATION = 8080;
/** A dropped packet is known by nothing but time. */
const ASKED_MS = 700;
const PROXY = { uid: 0, gid: 1337 };

describe("while a pod's proxy does not listen", () => {
  for (const mode of ["REDIRECT", "TPROXY"] as const) {
    for (const dialect of DIALECTS) {
      test(`${dialect}, ${mode}: nobody gets its inbound connections, and afterwards the proxy does`, async () => {
        await using stage = await createStage([4, 6]);
        const into = (family: 4 | 6): Promise<ProbeResult> =>
          probe(
            NETTOOL,
            { ip: PLACES.pod[family], port: APPLICATION },
            { pod: { netnsPath: stage.peer.path }, timeoutMs: ASKED_MS },
          );
        for (const family of [4, 6] as const) assert.equal((await into(family)).outcome, "direct", "not captured yet");
        await backendOf(dialect).apply(stage.pod.fd, { ...DEFAULT_SIDECAR_CAPTURE, mode, families: FAMILIES.dual });
        const unanswered = mode === "REDIRECT" ? "refused" : "timeout";
        for (const family of [4, 6] as const) assert.equal((await into(family)).outcome, unanswered, `IPv${family}`);
        const proxy = await stage.startProxy(PROXY, mode);
        for (const family of [4, 6] as const)
          assert.partialDeepStrictEqual(await into(family), { outcome: "captured" });
        await proxy.stop("SIGKILL");
        for (const family of [4, 6] as const) assert.equal((await into(family)).outcome, unanswered, `IPv${family}`);
      });
    }
  }
});
