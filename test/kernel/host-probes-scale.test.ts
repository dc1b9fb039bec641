// Five hundred pods on a node whose table nat is full of other people's rules. Times are told, not asserted.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createNetns } from "../../testbed/netns.ts";
import { DIALECTS } from "./backend-fixture.ts";
import { hostProbesOf, ips, listedIn } from "./host-probes-fixture.ts";

const PODS = 500;
const uid = (index: number): string => `dddddddd-0000-4000-8000-${String(index).padStart(12, "0")}`;
const addresses = (index: number) => ips(`10.2.${index >> 8}.${index & 0xff}`, `fd02::${(index + 1).toString(16)}`);
const ALL = new Map(Array.from({ length: PODS }, (_, index) => [uid(index), addresses(index)]));

for (const dialect of DIALECTS) {
  test(`${dialect}: ${PODS} pods of both families are put in, looked at, and all but one taken out`, async (t) => {
    using netns = createNetns();
    const services = Array.from({ length: 2000 }, (_, index) => [
      `:KUBE-SVC-${index} - [0:0]`,
      `-A KUBE-SVC-${index} -m comment --comment "service ${index}" -j RETURN`,
    ]);
    const foreign = ["*nat", ...services.map(([chain]) => chain), ...services.map(([, rule]) => rule), "COMMIT", ""];
    const tool = dialect === "iptables-legacy" ? "iptables-legacy-restore" : "iptables-nft-restore";
    netns.mustExec([tool, "--noflush"], { input: foreign.join("\n") });
    const probes = hostProbesOf(netns, dialect);
    const timed = async <T>(name: string, action: () => Promise<T>): Promise<T> => {
      const startMs = performance.now();
      const result = await action();
      t.diagnostic(`${dialect}: ${name} ${(performance.now() - startMs).toFixed(1)} ms`);
      return result;
    };
    await timed("ensure, nothing there", () => probes.ensure());
    const { put } = await timed(`converge, ${PODS} pods new`, () => probes.converge(ALL, { isComplete: true }));
    assert.equal(put, 2 * PODS);
    assert.equal(listedIn(netns, dialect).length, 2 * PODS);
    assert.deepEqual(await timed("converge, nothing to do", () => probes.converge(ALL, { isComplete: true })), {
      put: 0,
      removed: 0,
    });
    assert.equal((await timed("ensure, nothing to do", () => probes.ensure())).changed, false);
    await timed("one more pod", () => probes.put(uid(PODS), addresses(PODS)));
    assert.equal(await timed("one pod less", () => probes.remove(uid(PODS))), true);
    const one = new Map([[uid(0), addresses(0)]]);
    const { removed } = await timed("converge, one pod left", () => probes.converge(one, { isComplete: true }));
    assert.equal(removed, 2 * (PODS - 1));
    assert.equal(listedIn(netns, dialect).length, 2);
  });
}
