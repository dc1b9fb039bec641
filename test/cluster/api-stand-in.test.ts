// The stand-in answers a script as a real kube-apiserver did; that one is asked in api-stand-in-recorded.test.ts.
import { test } from "node:test";
import { createApiServer } from "../../testbed/api-server/api-server.ts";
import { answerScript, compareWithRecord } from "./api-stand-in-record.ts";

test("the stand-in answers as the recorded kube-apiserver did", async () => {
  await using server = await createApiServer({ gracefulPods: true });
  compareWithRecord(await answerScript({ url: server.url, caPem: server.caPem, token: server.token }));
});
