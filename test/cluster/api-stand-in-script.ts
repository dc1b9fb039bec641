// What is asked of an API server to compare the stand-in with the real one: every verb, every refusal and every watch
// rule the stand-in claims to know. Responsible for the questions; the answers are in testdata/api-stand-in.json.
import { askAround, askLists, askReads, askWatches } from "./api-stand-in-reads.ts";
import { podOn, type ScriptClients } from "./api-stand-in-scene.ts";
import { createRecorder, type TranscriptEntry } from "./api-stand-in-transcript.ts";
import {
  askCreates,
  askDeletes,
  askEvents,
  askNamespaces,
  askOtherKinds,
  askPatches,
  askWrites,
} from "./api-stand-in-writes.ts";

/** Runs the script in a namespace of its own, which it creates and deletes. */
export async function runScript(clients: ScriptClients, namespace: string): Promise<readonly TranscriptEntry[]> {
  const recorder = createRecorder(clients.admin, namespace);
  const scene = { ...recorder, clients, namespace, core: `/api/v1/namespaces/${namespace}`, pod: podOn(namespace) };
  const nodes = [namespace, `${namespace}-spare`];
  try {
    await recorder.quietly("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: namespace } });
    for (const part of [askAround, askNamespaces, askCreates, askReads, askLists, askWrites, askPatches])
      await part(scene);
    for (const part of [askWatches, askEvents, askOtherKinds, askDeletes]) await part(scene);
  } finally {
    await recorder.quietly("DELETE", `/api/v1/namespaces/${namespace}`);
    for (const node of nodes) await recorder.quietly("DELETE", `/api/v1/nodes/${node}`);
  }
  return recorder.entries;
}
