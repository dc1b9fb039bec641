// The agent itself in the FIPS image, in the real containerd: what it agrees on with an API server, and with whom it does not
// speak at all. The runtime image's agent beside it shows that the servers offer what they are said to offer.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { SecureContextOptions } from "node:tls";
import { plainPod, sidecarPod } from "../../testbed/api-server/pod-fixtures.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";
import { startImageAgent } from "../../testbed/node/image-agent.ts";
import { createMeshNode, type MeshNode, NEW_POD } from "../../testbed/node/mesh-node.ts";
import type { ImageAgent } from "../../testbed/node/supervise-agent.ts";
import { assertCaptured, eventually } from "../runtime/captured-pods.ts";
import { archiveOf, NATIVE_ARCHITECTURE, referenceOf, type Variant } from "./built-images.ts";
import { startTlsFront, type TlsFront } from "./tls-front.ts";

enterNodeNamespaces();

/** Wants ChaCha20 and X25519, and would take AES-GCM and P-256. */
const PREFERS_UNAPPROVED: SecureContextOptions = {
  ciphers: "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
  honorCipherOrder: true,
  ecdhCurve: "X25519:P-256",
  minVersion: "TLSv1.3",
};

/** How OpenSSL names an end of the handshake by either side. */
const REFUSAL = /SSL alert|handshake failure|ERR_SSL_|EPROTO/;

let mesh: MeshNode;
before(async () => {
  mesh = await createMeshNode();
  for (const variant of ["fips", "runtime"] as const)
    await mesh.node.runtime.importImageFile(archiveOf(variant, NATIVE_ARCHITECTURE));
});
after(() => mesh.destroy());

/** Starts the variant's agent against a server with these settings, and ends both afterwards. */
async function withAgent(
  variant: Variant,
  options: SecureContextOptions,
  look: (agent: ImageAgent, front: TlsFront) => Promise<void>,
): Promise<void> {
  await using front = await startTlsFront(mesh.api, options);
  const agent = await startImageAgent(mesh.node, { image: referenceOf(variant), apiServer: front, readonlyRoot: true });
  try {
    await look(agent, front);
  } finally {
    await agent.stop();
  }
}

test("captures a pod, and agrees on approved suites alone with a server that would rather have others", async () => {
  const peer = await mesh.startPod(plainPod({ ...NEW_POD, name: "peer" }));
  await withAgent("fips", PREFERS_UNAPPROVED, async (agent, front) => {
    await agent.waitReady();
    await mesh.node.waitForChained();
    const pod = await mesh.startPod(sidecarPod({ ...NEW_POD, name: "web" }));
    await assertCaptured(mesh.node, pod, peer, [4]);
    await pod.remove();
    assert.ok(front.agreed.length > 0);
    assert.deepEqual([...new Set(front.agreed)], ["TLSv1.3 TLS_AES_256_GCM_SHA384"]);
  });
  await peer.remove();
});

test("does so by the image: the runtime image's agent takes what that server would rather have", async () => {
  await withAgent("runtime", PREFERS_UNAPPROVED, async (agent, front) => {
    await agent.waitReady();
    assert.deepEqual([...new Set(front.agreed)], ["TLSv1.3 TLS_CHACHA20_POLY1305_SHA256"]);
  });
});

describe("does not speak with a server, and says so,", () => {
  for (const { what, options, reason } of [
    {
      what: "that has suites with ChaCha20 only",
      options: { ciphers: "TLS_CHACHA20_POLY1305_SHA256", minVersion: "TLSv1.3" },
      reason: "ERR_SSL_NO_SHARED_CIPHER",
    },
    {
      what: "that has the group X25519 only",
      options: { ecdhCurve: "X25519", minVersion: "TLSv1.3" },
      reason: "ERR_SSL_NO_SUITABLE_KEY_SHARE",
    },
  ] as const) {
    test(what, async () => {
      await withAgent("fips", options, async (agent, front) => {
        await eventually(
          () => front.failed.length > 1 && agent.log().some((line) => REFUSAL.test(line)),
          () => `${front.failed.join(" ")}\n${agent.log().slice(-30).join("\n")}`,
        );
        assert.deepEqual([...new Set(front.failed)], [reason]);
        assert.deepEqual(front.agreed, []);
        assert.equal((await fetch(`http://${mesh.api.host}:8000/readyz`)).status, 503);
      });
    });
  }
});
