// The verb watch: which events a watcher is shown, in which shape, and when its stream ends. Responsible for the
// meaning (k8s.io/apiserver pkg/storage/cacher@v0.35); bytes and sockets are in respond.ts.
import { ApiError, tooLargeResourceVersion } from "./api-error.ts";
import { type JsonObject, type KubeObject, withMeta } from "./kube-object.ts";
import type { ListOptions } from "./list-options.ts";
import { type Form, renderBookmark, renderObject } from "./media.ts";
import { isInNamespace, type ReadTarget } from "./reads.ts";
import type { Store, StoreEvent } from "./store.ts";

/** One frame of a watch. */
export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: JsonObject;
}

/** Where a watcher's frames go. `onClosed` is called once, whoever closed it. */
export interface WatchSink {
  send(event: WatchEvent): void;
  close(how: "end" | "reset"): void;
  onClosed(listener: () => void): void;
}

/** What a watcher asked for. */
export interface WatchRequest {
  readonly target: ReadTarget;
  readonly options: ListOptions;
  readonly form: Form;
}

/** All watches of one server. */
export interface Watches {
  open(request: WatchRequest, sink: WatchSink): void;
  count(plural?: string): number;
  /** Sends a bookmark to each watcher that allows them. */
  bookmark(): void;
  /** Ends all streams: cleanly, by a reset, or with an ERROR event before a clean end. */
  closeAll(how: "end" | "reset" | ApiError): void;
}

interface Watcher {
  readonly request: WatchRequest;
  readonly sink: WatchSink;
}

/** `bookmarkIntervalMs` is how often bookmarks come by themselves; the real server takes about a minute. */
export function createWatches(store: Store, options: { readonly bookmarkIntervalMs: number }): Watches {
  const watchers = new Set<Watcher>();

  const sendBookmark = ({ request, sink }: Watcher, annotations?: Record<string, string>): void => {
    if (!request.options.allowWatchBookmarks) return;
    sink.send({
      type: "BOOKMARK",
      object: renderBookmark(store.revision(), request.target.resource, request.form, annotations),
    });
  };

  const sendError = (sink: WatchSink, error: ApiError): void => {
    sink.send({ type: "ERROR", object: error.status() });
    sink.close("end");
  };

  /** The events a new watcher gets before live ones. False when its stream is over already. */
  const sendInitial = (watcher: Watcher): boolean => {
    const { target, options: asked, form } = watcher.request;
    const { resource } = target;
    const isFromNow = asked.resourceVersion === undefined || asked.resourceVersion === 0;
    if (asked.sendInitialEvents === true && (asked.resourceVersion ?? 0) > store.revision()) {
      // The real server first waits three seconds for the version to come.
      sendError(watcher.sink, tooLargeResourceVersion(asked.resourceVersion ?? 0, store.revision()));
      return false;
    }
    if (asked.sendInitialEvents ?? isFromNow) {
      for (const object of store.list(resource.storage)) {
        if (isInNamespace(object, target.namespace) && asked.selects(resource.toWire(object))) {
          watcher.sink.send({ type: "ADDED", object: renderObject(object, resource, form) });
        }
      }
      if (asked.sendInitialEvents === true) sendBookmark(watcher, { "k8s.io/initial-events-end": "true" });
      return true;
    }
    if (isFromNow) return true;
    const missed = store.since(asked.resourceVersion ?? 0);
    if (missed === undefined) {
      const message = `too old resource version: ${asked.resourceVersion} (${store.compactedRevision()})`;
      sendError(watcher.sink, new ApiError(410, "Expired", message));
      return false;
    }
    for (const event of missed) sendEvent(watcher, event);
    return true;
  };

  return {
    open(request, sink) {
      const watcher: Watcher = { request, sink };
      if (!sendInitial(watcher)) return;
      const subscription = store.subscribe((event) => sendEvent(watcher, event));
      const beats = setInterval(() => sendBookmark(watcher), options.bookmarkIntervalMs).unref();
      const timeoutSeconds = request.options.timeoutSeconds ?? 1800 + Math.floor(Math.random() * 1800);
      const end = setTimeout(() => sink.close("end"), Math.min(timeoutSeconds * 1000, 2 ** 31 - 1)).unref();
      // The real server sends a last bookmark some two seconds before it ends a watch.
      const farewell = setTimeout(() => sendBookmark(watcher), Math.max(0, (timeoutSeconds - 2) * 1000)).unref();
      if (timeoutSeconds <= 2) clearTimeout(farewell);
      watchers.add(watcher);
      sink.onClosed(() => {
        subscription[Symbol.dispose]();
        clearInterval(beats);
        clearTimeout(end);
        clearTimeout(farewell);
        watchers.delete(watcher);
      });
    },

    count: (plural) =>
      [...watchers].filter(({ request }) => plural === undefined || request.target.resource.plural === plural).length,

    bookmark() {
      for (const watcher of watchers) sendBookmark(watcher);
    },

    closeAll(how) {
      for (const { sink } of [...watchers]) {
        if (how instanceof ApiError) sendError(sink, how);
        else sink.close(how);
      }
    },
  };
}

/** Shows an event as the watcher's selector sees it: an object that stops to be selected is DELETED, and the reverse. */
function sendEvent({ request, sink }: Watcher, event: StoreEvent): void {
  const { target, options, form } = request;
  const { resource } = target;
  if (event.storage !== resource.storage || event.revision <= (options.resourceVersion ?? 0)) return;
  if (!isInNamespace(event.object, target.namespace)) return;
  const selects = (object: KubeObject | undefined): boolean =>
    object !== undefined && options.selects(resource.toWire(object));
  const was = selects(event.previous);
  const is = event.type !== "DELETED" && selects(event.object);
  if (is) {
    sink.send({ type: was ? "MODIFIED" : "ADDED", object: renderObject(event.object, resource, form) });
  } else if (was && event.previous !== undefined) {
    const last = withMeta(event.previous, { resourceVersion: String(event.revision) });
    sink.send({ type: "DELETED", object: renderObject(last, resource, form) });
  }
}
