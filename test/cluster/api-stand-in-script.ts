// What is asked of an API server to compare the stand-in with the real one: every verb, every refusal and every watch
// rule the stand-in claims to know. Responsible for the questions; the answers are in testdata/api-stand-in.json.
import { readPath, readText } from "../../testbed/api-server/kube-object.ts";
import type { WireClient } from "../../testbed/api-server/wire-client.ts";
import { createRecorder, type Recorder, type TranscriptEntry } from "./api-stand-in-transcript.ts";

/** Clients of the server under comparison: one that may do everything, one with a token nobody knows, one with none. */
export interface ScriptClients {
  readonly admin: WireClient;
  readonly stranger: WireClient;
  readonly anonymous: WireClient;
}

const MERGE = { "Content-Type": "application/merge-patch+json" };
const STRATEGIC = { "Content-Type": "application/strategic-merge-patch+json" };
const JSON_PATCH = { "Content-Type": "application/json-patch+json" };
const ONE_METADATA = { Accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1" };
const LIST_METADATA = { Accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json" };

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

interface Scene extends Recorder {
  readonly clients: ScriptClients;
  readonly namespace: string;
  /** Path of the namespace's core resources. */
  readonly core: string;
  /** A pod on the script's own node. */
  readonly pod: (name: string, labels?: Readonly<Record<string, string>>, more?: object) => object;
}

// The node exists (a controller removes pods of unknown nodes) but has no kubelet that would touch its pods.
const podOn =
  (nodeName: string): Scene["pod"] =>
  (name, labels = {}, more = {}) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels, ...more },
    spec: { nodeName, containers: [{ name: "app", image: "example.com/app:1" }] },
  });

async function askAround({ ask, clients, note, core, pod }: Scene): Promise<void> {
  for (const path of ["/healthz", "/readyz", "/livez", "/api/v1/nonsense", "/apis/nonsense/v1/pods"])
    await ask(`GET ${path}`, "GET", path);
  await ask("an unknown subresource", "GET", `${core}/pods/a/nonsense`);
  await ask("POST on one object", "POST", `${core}/pods/a`, pod("a"));
  await ask("DELETE on pods of all namespaces", "DELETE", "/api/v1/pods?dryRun=All");
  for (const [who, client] of [
    ["stranger", clients.stranger],
    ["anonymous", clients.anonymous],
  ] as const) {
    for (const path of [
      "/healthz",
      "/api/v1/pods",
      `${core}/pods/a`,
      "/api/v1/pods?watch=true",
      "/apis/apps/v1/daemonsets",
    ]) {
      const { status, json } = await client.request("GET", path);
      note(`${who}: GET ${path}`, { status, json });
    }
  }
}

async function askNamespaces({ ask, namespace }: Scene): Promise<void> {
  const path = "/api/v1/namespaces";
  const body = (name: string): object => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { a: "b" } },
  });
  await ask("create a namespace", "POST", path, body(namespace));
  await ask("create it again", "POST", path, body(namespace));
  await ask("create a namespace without name", "POST", path, body(""));
  await ask("create a namespace with a bad name", "POST", path, body("Not_A.Name"));
  await ask("get the namespace", "GET", `${path}/${namespace}`);
  await ask("get a namespace that is not there", "GET", `${path}/no-such-namespace`);
  await ask("find a namespace by name", "GET", `${path}?fieldSelector=metadata.name%3D${namespace}`);
  await ask("namespaces have no metadata.namespace", "GET", `${path}?fieldSelector=metadata.namespace%3Dx`);
  await ask(
    "a namespace's labels by its status",
    "PATCH",
    `${path}/${namespace}/status`,
    { metadata: { labels: { a: "c" } } },
    MERGE,
  );
}

async function askCreates({ ask, quietly, core, pod }: Scene): Promise<void> {
  const path = `${core}/pods`;
  // A cluster with controllers makes the service account a moment after the namespace.
  for (let tries = 0; tries < 50; tries += 1) {
    const { status } = await quietly("POST", `${path}?dryRun=All`, pod("probe"));
    if (status !== 403) break;
  }
  await ask("create a pod", "POST", path, pod("a", { app: "one", tier: "x" }));
  await ask("create it again", "POST", path, pod("a"));
  await ask("create without name", "POST", path, pod(""));
  await ask("create with a generated name", "POST", path, {
    ...pod("", {}, { generateName: "generated-", name: undefined }),
  });
  await ask("create with a bad name", "POST", path, pod("Bad_Name"));
  await ask("create without containers", "POST", path, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "z" },
    spec: { containers: [] },
  });
  await ask("create in a namespace that is not there", "POST", "/api/v1/namespaces/no-such-namespace/pods", pod("a"));
  await ask("create with another namespace in the body", "POST", path, pod("z", {}, { namespace: "default" }));
  await ask("create with a resourceVersion", "POST", path, pod("z", {}, { resourceVersion: "5" }));
  await ask("create from no JSON", "POST", path, "{not json");
  await ask("create another kind", "POST", path, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "z" } });
  await ask("create without kind", "POST", path, {
    metadata: { name: "b", labels: { app: "two", tier: "x" } },
    spec: { schedulerName: "nobody", containers: [{ name: "app", image: "i:1" }] },
  });
  await ask("create for trial", "POST", `${path}?dryRun=All`, pod("trial"));
  await ask("nothing came of the trial", "GET", `${path}/trial`);
  await ask("create a third", "POST", path, pod("c", { app: "three" }));
}

async function askReads({ ask, core }: Scene): Promise<void> {
  await ask("get a pod", "GET", `${core}/pods/a`);
  await ask("get its status", "GET", `${core}/pods/a/status`);
  await ask("get a pod that is not there", "GET", `${core}/pods/no-such-pod`);
  await ask("get its metadata", "GET", `${core}/pods/a`, undefined, ONE_METADATA);
  await ask("get one as a list of metadata", "GET", `${core}/pods/a`, undefined, {
    Accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
  });
  await ask("a table or JSON", "GET", `${core}/pods/a`, undefined, {
    Accept: "application/json;as=Nonsense;v=v1;g=meta.k8s.io,application/json",
  });
}

async function askLists({ ask, note, quietly, core, namespace, pod }: Scene): Promise<void> {
  const path = `${core}/pods`;
  const generated = await quietly("GET", path);
  for (const name of namesOf(generated.json))
    if (name.startsWith("generated-")) await quietly("DELETE", `${path}/${name}?gracePeriodSeconds=0`);

  await ask("list", "GET", path);
  await ask("list metadata", "GET", path, undefined, LIST_METADATA);
  await ask("list as one metadata", "GET", path, undefined, ONE_METADATA);
  const selectors = [
    "app=one",
    "app==one",
    "app!=one",
    "app in (one,two)",
    "app notin (one)",
    "tier",
    "!tier",
    "app=one,tier=x",
    "app>1",
  ];
  for (const selector of selectors) await names(`labels: ${selector}`, `labelSelector=${encodeURIComponent(selector)}`);
  const fields = [
    "metadata.name=a",
    "metadata.name!=a",
    `spec.nodeName=${namespace}`,
    "spec.nodeName=",
    "status.phase=Pending,metadata.name=b",
  ];
  for (const field of [...fields, "spec.hostNetwork=false"])
    await names(`fields: ${field}`, `fieldSelector=${encodeURIComponent(field)}`);
  for (const bad of ["spec.nonsense=x", "nonsense", "metadata.labels=x"])
    await ask(`fields: ${bad}`, "GET", `${path}?fieldSelector=${encodeURIComponent(bad)}`);

  const first = await ask("first page", "GET", `${path}?limit=2`);
  const token = readText(first.json, "metadata", "continue");
  const version = readText(first.json, "metadata", "resourceVersion");
  await quietly("POST", path, pod("d"));
  const second = await ask("second page shows the first page's version", "GET", `${path}?limit=2&continue=${token}`);
  note("both pages have one version", readText(second.json, "metadata", "resourceVersion") === version);
  await names("the list of that version", `resourceVersion=${version}&resourceVersionMatch=Exact`);
  await names("a list not older than that version", `resourceVersion=${version}&resourceVersionMatch=NotOlderThan`);
  await names("a limited list of that version", `resourceVersion=${version}&limit=500`);
  await names("any version is not paged", "resourceVersion=0&limit=1");
  await ask("a page with a selector", "GET", `${path}?limit=1&labelSelector=app`);
  await ask("continue and version", "GET", `${path}?limit=2&continue=${token}&resourceVersion=${version}`);
  const refused = [
    "resourceVersionMatch=Exact",
    "resourceVersion=0&resourceVersionMatch=Exact",
    "resourceVersion=5&resourceVersionMatch=Nonsense",
  ];
  for (const query of [
    ...refused,
    "sendInitialEvents=true",
    "resourceVersion=nonsense",
    "resourceVersion=99999999999",
    "continue=nonsense",
    "limit=x",
  ]) {
    await ask(`list with ${query}`, "GET", `${path}?${query}`);
  }

  async function names(step: string, query: string): Promise<void> {
    const { status, json } = await quietly("GET", `${path}?${query}`);
    note(step, { status, names: namesOf(json) });
  }
}

async function askWrites({ ask, note, quietly, core }: Scene): Promise<void> {
  const path = `${core}/pods/a`;
  const stored = await quietly("GET", path);
  const metadata = readPath(stored.json, "metadata");
  const changed = (changes: object): object => ({
    ...stored.json,
    metadata: { ...(typeof metadata === "object" ? metadata : {}), ...changes },
  });
  const same = await quietly("PUT", path, stored.json);
  note("an update that changes nothing makes no version", versionOf(same.json) === versionOf(stored.json));
  await ask("update labels", "PUT", path, changed({ labels: { app: "one", tier: "y" } }));
  await ask("update an old version", "PUT", path, changed({ labels: { app: "one", tier: "z" } }));
  await ask(
    "update with another uid",
    "PUT",
    path,
    changed({ resourceVersion: undefined, uid: "00000000-0000-0000-0000-000000000000" }),
  );
  await ask(
    "update without version",
    "PUT",
    path,
    changed({ resourceVersion: undefined, labels: { app: "one", tier: "x" } }),
  );
  await ask("update under another name", "PUT", `${core}/pods/b`, changed({}));
  await ask(
    "update what is not there",
    "PUT",
    `${core}/pods/no-such-pod`,
    changed({ name: "no-such-pod", resourceVersion: undefined }),
  );
  const spec = readPath(stored.json, "spec");
  const moved = {
    ...changed({ resourceVersion: undefined }),
    spec: { ...(typeof spec === "object" ? spec : {}), hostNetwork: true },
  };
  const { status, json } = await quietly("PUT", path, moved);
  note("update the spec", { status, reason: json["reason"], kind: readPath(json, "details", "kind") });
  await ask("the status does not follow an update", "PUT", path, {
    ...changed({ resourceVersion: undefined }),
    status: { phase: "Failed" },
  });
}

async function askPatches({ ask, note, quietly, core }: Scene): Promise<void> {
  const path = `${core}/pods/a`;
  await ask("merge patch", "PATCH", path, { metadata: { annotations: { one: "1", two: "2" } } }, MERGE);
  await ask("merge patch with null", "PATCH", path, { metadata: { annotations: { one: null } } }, MERGE);
  await ask(
    "strategic merge patch",
    "PATCH",
    path,
    { spec: { containers: [{ name: "app", image: "example.com/app:2" }] } },
    STRATEGIC,
  );
  await ask(
    "strategic merge of conditions",
    "PATCH",
    `${path}/status`,
    { status: { conditions: [{ type: "Ready", status: "True" }] } },
    STRATEGIC,
  );
  await ask(
    "another condition stays beside it",
    "PATCH",
    `${path}/status`,
    { status: { conditions: [{ type: "Initialized", status: "False" }] } },
    STRATEGIC,
  );
  await ask(
    "annotations by the status",
    "PATCH",
    `${path}/status`,
    { metadata: { annotations: { three: "3" } }, spec: { nodeName: "x" } },
    MERGE,
  );
  await ask(
    "addresses by the status",
    "PATCH",
    `${path}/status`,
    { status: { podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }], phase: "Running" } },
    MERGE,
  );
  const test = (value: string): object[] => [
    { op: "test", path: "/metadata/annotations/two", value },
    { op: "replace", path: "/metadata/annotations/two", value: "22" },
    { op: "add", path: "/metadata/annotations/example.com~1four", value: "4" },
  ];
  await ask("JSON patch", "PATCH", path, test("2"), JSON_PATCH);
  await ask("JSON patch whose test fails", "PATCH", path, test("2"), JSON_PATCH);
  await ask("JSON patch of nothing", "PATCH", path, [{ op: "remove", path: "/metadata/annotations/none" }], JSON_PATCH);
  await ask("JSON patch that is no list", "PATCH", path, { op: "remove" }, JSON_PATCH);
  await ask(
    "patch of an old version",
    "PATCH",
    path,
    { metadata: { resourceVersion: "1", labels: { q: "r" } } },
    MERGE,
  );
  await ask("patch that is no JSON", "PATCH", path, "{not json", MERGE);
  await ask("patch what is not there", "PATCH", `${core}/pods/no-such-pod`, {}, MERGE);
  const before = await quietly("GET", path);
  const after = await quietly("PATCH", path, { metadata: { annotations: { three: "3" } } }, MERGE);
  note("a patch that changes nothing makes no version", versionOf(before.json) === versionOf(after.json));
  const { status, json } = await quietly("PATCH", path, {}, { "Content-Type": "application/json" });
  note("patch of an unknown form", { status, reason: json["reason"] });
}

async function askWatches({ ask, watch, quietly, core, pod }: Scene): Promise<void> {
  const path = `${core}/pods`;
  const label = (name: string, value: string | null): Promise<unknown> =>
    quietly("PATCH", `${path}/${name}`, { metadata: { labels: { watched: value } } }, MERGE);
  const from = versionOf((await quietly("GET", path)).json);
  {
    using all = await watch("watch from a version", `${path}?watch=true&resourceVersion=${from}`);
    await quietly("POST", path, pod("e", { app: "e" }));
    await label("e", "yes");
    await quietly("DELETE", `${path}/e?gracePeriodSeconds=0`);
    await all.expect(3);
  }
  {
    using selected = await watch(
      "watch with a selector",
      `${path}?watch=true&resourceVersion=${from}&labelSelector=watched`,
    );
    await selected.expect(2);
    await label("b", "yes");
    await label("b", "still");
    await label("b", null);
    await selected.expect(3);
  }
  {
    using initial = await watch("watch without version", `${path}?watch=true&labelSelector=app%20in%20(one,three)`);
    await initial.expect(2);
    await label("c", "1");
    await initial.expect(1);
  }
  {
    using streamed = await watch(
      "watch with initial events",
      `${path}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Da`,
    );
    await streamed.expect(2);
    await label("a", "1");
    await streamed.expect(1);
  }
  for (const version of ["", "0"]) {
    using legacy = await watch(
      `watch from ${version || "now"} with bookmarks`,
      `${path}?watch=true&resourceVersion=${version}&allowWatchBookmarks=true&fieldSelector=metadata.name%3Da`,
    );
    await legacy.expect(2);
  }
  {
    using ahead = await watch(
      "watch with initial events from a version to come",
      `${path}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99999999999`,
    );
    await ahead.expect(1);
    await ahead.expectEnd();
  }
  {
    using metadata = await watch("watch metadata", `${path}?watch=true&fieldSelector=metadata.name%3Da`, ONE_METADATA);
    await metadata.expect(1);
    await label("a", null);
    await metadata.expect(1);
  }
  {
    using short = await watch(
      "watch that ends",
      `${path}?watch=true&timeoutSeconds=1&resourceVersion=${from}&fieldSelector=metadata.name%3Dnone`,
    );
    await short.expectEnd();
  }
  const refused = [
    "sendInitialEvents=true",
    "resourceVersionMatch=NotOlderThan",
    "resourceVersionMatch=Exact&sendInitialEvents=true",
    "resourceVersion=nonsense",
    "fieldSelector=nonsense%3D1",
  ];
  for (const query of refused) await ask(`watch with ${query}`, "GET", `${path}?watch=true&${query}`);
}

async function askEvents({ ask, namespace, core }: Scene): Promise<void> {
  const involved = { kind: "Pod", namespace, name: "a", apiVersion: "v1" };
  const old = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "old" },
    involvedObject: involved,
    reason: "Tried",
    message: "did",
    type: "Normal",
    source: { component: "me" },
    count: 2,
  };
  await ask("create an event", "POST", `${core}/events`, old);
  await ask("read it in the new form", "GET", `/apis/events.k8s.io/v1/namespaces/${namespace}/events/old`);
  const fresh = {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: "new" },
    regarding: involved,
    reason: "Tried",
    note: "did",
    type: "Warning",
    action: "Try",
    reportingController: "me",
    reportingInstance: "me-1",
    eventTime: "2026-03-02T09:15:04.000000Z",
  };
  await ask("create an event in the new form", "POST", `/apis/events.k8s.io/v1/namespaces/${namespace}/events`, fresh);
  await ask("read it in the old form", "GET", `${core}/events/new`);
  await ask("events about a pod", "GET", `${core}/events?fieldSelector=involvedObject.name%3Da,type%3DWarning`);
  await ask(
    "a field of the other form",
    "GET",
    `/apis/events.k8s.io/v1/namespaces/${namespace}/events?fieldSelector=involvedObject.name%3Da`,
  );
}

async function askOtherKinds({ ask, note, quietly, namespace, core }: Scene): Promise<void> {
  await ask("create a config map", "POST", `${core}/configmaps`, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "m" },
    data: { a: "b" },
  });
  await ask("patch a config map", "PATCH", `${core}/configmaps/m`, { data: { c: "d" } }, MERGE);
  await ask("a config map's unknown field", "GET", `${core}/configmaps?fieldSelector=data.a%3Db`);
  await ask("delete a config map", "DELETE", `${core}/configmaps/m`);
  await ask("delete it again", "DELETE", `${core}/configmaps/m`);

  const taints = [{ key: "cni.istio.io/not-ready", effect: "NoSchedule" }];
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: `${namespace}-spare` }, spec: { taints } };
  await quietly("POST", "/api/v1/nodes", node);
  const untaint = [
    { op: "test", path: "/spec/taints/0/key", value: "cni.istio.io/not-ready" },
    { op: "remove", path: "/spec/taints/0" },
  ];
  const untainted = await quietly("PATCH", `/api/v1/nodes/${namespace}-spare`, untaint, JSON_PATCH);
  note("a taint goes by JSON patch", {
    status: untainted.status,
    left: JSON.stringify(readPath(untainted.json, "spec", "taints") ?? []).includes("cni.istio.io/not-ready"),
  });
  const again = await quietly("PATCH", `/api/v1/nodes/${namespace}-spare`, untaint, JSON_PATCH);
  note("and is not there any more", again.status);
  await ask("delete a node", "DELETE", `/api/v1/nodes/${namespace}-spare`);

  const template = (image: string): object => ({
    metadata: { labels: { app: "ds" } },
    spec: { nodeSelector: { none: "here" }, containers: [{ name: "app", image }] },
  });
  const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets`;
  const created = await quietly("POST", path, {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "ds" },
    spec: { selector: { matchLabels: { app: "ds" } }, template: template("a:1") },
  });
  const patched = await quietly("PATCH", `${path}/ds`, { spec: { template: template("a:2") } }, STRATEGIC);
  const labelled = await quietly("PATCH", `${path}/ds`, { metadata: { labels: { a: "b" } } }, MERGE);
  note(
    "generations of a daemon set",
    [created, patched, labelled].map(({ status, json }) => [status, readPath(json, "metadata", "generation")]),
  );
  await ask("a daemon set that is not there", "GET", `${path}/none`);
  await quietly("DELETE", `${path}/ds`);
}

async function askDeletes({ ask, quietly, core, pod }: Scene): Promise<void> {
  const path = `${core}/pods`;
  const other = "00000000-0000-0000-0000-000000000000";
  await ask("delete what is not there", "DELETE", `${path}/no-such-pod`);
  await ask("delete another uid", "DELETE", `${path}/a`, { preconditions: { uid: other } });
  await ask("delete another version", "DELETE", `${path}/a`, { preconditions: { resourceVersion: "1" } });
  await ask("delete a pod on a node", "DELETE", `${path}/a`);
  await ask("it is still there", "GET", `${path}/a`);
  await ask("delete it at once", "DELETE", `${path}/a`, {
    apiVersion: "v1",
    kind: "DeleteOptions",
    gracePeriodSeconds: 0,
  });
  await ask("now it is gone", "GET", `${path}/a`);
  await ask("delete a pod without node", "DELETE", `${path}/b`);
  await ask("that is gone already", "GET", `${path}/b`);

  await quietly("POST", path, pod("held", {}, { finalizers: ["example.com/held"] }));
  await ask("delete a pod with a finalizer", "DELETE", `${path}/held?gracePeriodSeconds=0`);
  await ask("it waits", "GET", `${path}/held`);
  await ask("take the finalizer away", "PATCH", `${path}/held`, { metadata: { finalizers: null } }, MERGE);
  await ask("it is gone", "GET", `${path}/held`);
  await ask("delete all of a selection", "DELETE", `${path}?labelSelector=app%3Dthree&gracePeriodSeconds=0`);
  await ask("the others stay", "GET", path);
  await ask("default cannot be deleted", "DELETE", "/api/v1/namespaces/default");
}

const versionOf = (object: unknown): string => readText(object, "metadata", "resourceVersion");

function namesOf(list: unknown): readonly string[] {
  const items = readPath(list, "items");
  return Array.isArray(items) ? items.map((item) => readText(item, "metadata", "name")) : [];
}
