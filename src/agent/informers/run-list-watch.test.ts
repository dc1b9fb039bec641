import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeApiError, type KubeApiErrorCode } from "../../core/kube/kube-api-error.ts";
import { type Namespace, parseNamespace } from "../../core/kube/namespace.ts";
import { type ListWatchSink, MAX_OBJECT_BYTES, runListWatch } from "./run-list-watch.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const object = (name: string, resourceVersion: string) => ({ metadata: { name, uid: `uid-${name}`, resourceVersion } });
const list = (resourceVersion: string, ...items: unknown[]): string =>
  JSON.stringify({ metadata: { resourceVersion }, items });
const line = (type: string, item: unknown): string => `${JSON.stringify({ type, object: item })}\n`;
const failure = (code: KubeApiErrorCode, status = 0): KubeApiError => new KubeApiError(code, "Cannot x", { status });

/** One answer per request, in order; the chunks of a watch may end in an error. Afterwards the run is aborted. */
type Answer =
  | { readonly list: string | Error }
  | { readonly watch: readonly (string | Error)[] | Error; readonly tookMs?: number };

/** Runs the machine against a script and tells all that was asked, changed and waited for. */
async function play(answers: readonly Answer[]): Promise<string[]> {
  const story: string[] = [];
  const script = [...answers];
  const ending = new AbortController();
  let nowMs = 0;

  function nextAnswer(): Answer {
    const answer = script.shift();
    if (answer !== undefined) return answer;
    ending.abort(new Error("the script is over"));
    throw ending.signal.reason;
  }

  async function* chunksOf(chunks: readonly (string | Error)[], tookMs: number): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) {
      if (chunk instanceof Error) {
        nowMs += tookMs;
        throw chunk;
      }
      yield encode(chunk);
    }
    nowMs += tookMs;
  }

  const sink: ListWatchSink<Namespace> = {
    beginReplace: () => story.push("begin"),
    upsert: (objects) => story.push(...objects.map(({ name }) => `+${name}`)),
    keep: (uids) => story.push(`keep ${uids}`),
    remove: (uid, last) => story.push(`-${last?.name ?? uid}`),
    endReplace: () => story.push("end"),
    synced: () => story.push("synced"),
    report: ({ what }) => story.push(`! ${what}`),
    stateChanged: () => undefined,
  };
  await runListWatch(
    {
      random: () => 0,
      clock: {
        nowMs: () => nowMs,
        sleep: async (ms) => {
          story.push(`wait ${ms}`);
          nowMs += ms;
        },
      },
      api: {
        refreshCredentials: () => story.push("refresh"),
        list: async (_ref, query) => {
          const answer = nextAnswer();
          story.push(`list ${query.limit}/${query.resourceVersion}/${query.continueToken}`);
          assert.ok("list" in answer, "the script expects a watch here");
          if (answer.list instanceof Error) throw answer.list;
          return chunksOf([answer.list], 0);
        },
        watch: async (_ref, query) => {
          const answer = nextAnswer();
          story.push(`watch ${query.resourceVersion}`);
          assert.ok("watch" in answer, "the script expects a list here");
          if (answer.watch instanceof Error) throw answer.watch;
          return chunksOf(answer.watch, answer.tookMs ?? 10_000);
        },
      },
    },
    { ref: { plural: "namespaces" }, selection: {}, parse: parseNamespace },
    sink,
    ending.signal,
  );
  return story;
}

const listed = ["begin", "list 100/0/", "+a", "end", "synced"];
const first: Answer = { list: list("10", object("a", "1")) };

test("runListWatch() lists, watches and resumes where the last event was", async () => {
  const events = line("ADDED", object("b", "11")) + line("DELETED", object("a", "12"));
  const story = await play([first, { watch: [events.slice(0, 30), events.slice(30)] }, { watch: [] }]);
  assert.deepEqual(story, [...listed, "watch 10", "+b", "-a", "watch 12"]);
});

test("runListWatch() resumes before an event that was cut in half, by an end or by a reset", async () => {
  const half = line("ADDED", object("b", "11")).slice(0, 20);
  const story = await play([first, { watch: [half] }, { watch: [half, failure("KUBE_API_TRANSPORT")] }, { watch: [] }]);
  const told = ["watch 10", "! truncated-event", "watch 10", "! failure", "wait 125", "watch 10"];
  assert.deepEqual(story, [...listed, ...told]);
});

test("runListWatch() opens another watch when one has fallen silent", async () => {
  const silent = { watch: [failure("KUBE_API_TIMEOUT")], tookMs: 150_000 };
  assert.deepEqual(await play([first, silent, { watch: [] }]), [...listed, "watch 10", "! idle-watch", "watch 10"]);
});

test("runListWatch() counts a watch that was never accepted as failed, not as silent", async () => {
  const story = await play([first, { watch: failure("KUBE_API_TIMEOUT") }, { watch: [] }]);
  assert.deepEqual(story, [...listed, "watch 10", "! failure", "wait 125", "watch 10"]);
});

test("runListWatch() waits and asks again when a list is HTML, broken or refused", async () => {
  const answers = ["<html>", '{"items":', "{}", failure("KUBE_API_STATUS", 500), failure("KUBE_API_STATUS", 403)];
  const story = await play([...answers.map((answer) => ({ list: answer })), first]);
  const waits = [125, 250, 500, 1000, 2000];
  assert.deepEqual(story, [
    ...waits
      .flatMap((ms) => ["list 100/0/", "! failure", `wait ${ms}`, "begin"])
      .flatMap((step, at) => (at === 0 ? ["begin", step] : [step])),
    ...listed.slice(1),
  ]);
});

test("runListWatch() drops a watch that sends what is no event, and resumes", async () => {
  const events = [`${line("ADDED", object("b", "11"))}<html>\n${line("ADDED", object("c", "12"))}`];
  const story = await play([first, { watch: events }, { watch: [] }]);
  assert.deepEqual(story, [...listed, "watch 10", "+b", "! failure", "wait 125", "watch 11"]);
});

test("runListWatch() goes on after an object it cannot read", async () => {
  const broken = { metadata: { ...object("b", "11").metadata, labels: 7 } };
  const story = await play([first, { watch: [line("MODIFIED", broken), line("ADDED", object("c", "12"))] }]);
  assert.deepEqual(story, [...listed, "watch 10", "! unreadable-object", "+c"]);
});

test("runListWatch() lists anew after an ERROR 410 within the stream, and reads nothing behind it", async () => {
  const gone = line("ERROR", { kind: "Status", code: 410, message: "too old" }) + line("ADDED", object("ghost", "9"));
  const story = await play([first, { watch: [gone] }, { list: list("20", object("c", "15")) }, { watch: [] }]);
  const told = ["watch 10", "! relist", "wait 125", "begin", "list 100//", "+c", "end", "watch 20"];
  assert.deepEqual(story, [...listed, ...told]);
});

test("runListWatch() lists anew in smaller pages after an event above the bound", async () => {
  const story = await play([first, { watch: ["x".repeat(MAX_OBJECT_BYTES + 1)] }, first]);
  assert.deepEqual(story, [...listed, "watch 10", "! relist", "wait 125", "begin", "list 25//", "+a", "end"]);
});

test("runListWatch() reads the credentials again after 401", async () => {
  const story = await play([
    { list: failure("KUBE_API_STATUS", 401) },
    first,
    { watch: failure("KUBE_API_STATUS", 401) },
  ]);
  assert.deepEqual(story, ["begin", "list 100/0/", "refresh", ...listed, "watch 10", "refresh"]);
});

test("runListWatch() ends with its signal and lets a defect out", async () => {
  await assert.rejects(play([{ list: new TypeError("defect") }]), TypeError);
  await assert.rejects(play([first, { watch: [new TypeError("defect")] }]), TypeError);
});
