// The script's questions that change nothing: paths and callers, get, list, watch.
import { readText } from "../../testbed/api-server/kube-object.ts";
import { LIST_METADATA, MERGE, namesOf, ONE_METADATA, type Scene, versionOf } from "./api-stand-in-scene.ts";

/** Health, unknown paths, unknown callers. */
export async function askAround({ ask, clients, note, core, pod }: Scene): Promise<void> {
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

/** get, whole and metadata only. */
export async function askReads({ ask, core }: Scene): Promise<void> {
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

/** list: selectors, pages, versions, refusals. */
export async function askLists({ ask, note, quietly, core, namespace, pod }: Scene): Promise<void> {
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

/** watch: from where, what a selector shows, how it ends. */
export async function askWatches({ ask, watch, quietly, core, pod }: Scene): Promise<void> {
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
