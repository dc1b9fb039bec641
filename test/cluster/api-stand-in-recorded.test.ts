// What the stand-in is compared with, asked of a real kube-apiserver again. UPDATE_API_TRANSCRIPT=1 records its answers anew.
import { test } from "node:test";
import { createKubeconfigCredentials } from "../../src/platform/http/credentials.ts";
import { readText } from "../../testbed/api-server/kube-object.ts";
import type { WireClientOptions } from "../../testbed/api-server/wire-client.ts";
import { createCluster } from "../../testbed/cluster/create-cluster.ts";
import { answerScript, compareWithRecord, RECORDED, writeRecord } from "./api-stand-in-record.ts";

test("a real kube-apiserver answers as recorded", async (t) => {
  await using cluster = await createCluster();
  const version = readText(JSON.parse(await cluster.kubectl(["get", "--raw", "/version"])), "gitVersion");
  // A lab is of our choice: with another version of it comes another record.
  if (cluster.lab === undefined && version !== RECORDED)
    return t.skip(`it is ${version}, and recorded was ${RECORDED}`);
  using _network = cluster.lab?.enterNetwork();
  const entries = await answerScript(readKubeconfig(cluster.kubeconfig));
  if (process.env["UPDATE_API_TRANSCRIPT"] === "1") writeRecord(entries);
  compareWithRecord(entries);
});

/** As the agent reads a kubeconfig. */
function readKubeconfig(path: string): WireClientOptions {
  const credentials = createKubeconfigCredentials(path, () => performance.now());
  const { protocol, host, port, basePath } = credentials.endpoint;
  const { ca, token, cert, key } = credentials.read();
  if (ca === undefined) throw new Error(`Cannot use ${path}: it has no certificate-authority`);
  return {
    url: `${protocol}//${host.includes(":") ? `[${host}]` : host}:${port}${basePath}`,
    caPem: ca,
    ...(token === undefined ? {} : { token }),
    ...(cert === undefined ? {} : { certPem: cert }),
    ...(key === undefined ? {} : { keyPem: key }),
  };
}
