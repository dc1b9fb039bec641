// The script's questions that write: create, update, patch, delete, and the kinds that behave in their own way.
import { readPath } from "../../testbed/api-server/kube-object.ts";
import { JSON_PATCH, MERGE, type Scene, STRATEGIC, versionOf } from "./api-stand-in-scene.ts";

/** Namespaces. */
export async function askNamespaces({ ask, namespace }: Scene): Promise<void> {
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

/** create and its refusals. */
export async function askCreates({ ask, quietly, core, pod }: Scene): Promise<void> {
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

/** update and its refusals. */
export async function askWrites({ ask, note, quietly, core }: Scene): Promise<void> {
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

/** patch in three forms. */
export async function askPatches({ ask, note, quietly, core }: Scene): Promise<void> {
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

/** Events in both groups. */
export async function askEvents({ ask, namespace, core }: Scene): Promise<void> {
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

/** Config maps, nodes, daemon sets. */
export async function askOtherKinds({ ask, note, quietly, namespace, core }: Scene): Promise<void> {
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

/** delete: preconditions, grace, finalizers. */
export async function askDeletes({ ask, quietly, core, pod }: Scene): Promise<void> {
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
