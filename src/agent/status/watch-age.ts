// How long ago the API last sent anything about each kind that is followed: a watch that is silent for long is one that
// may have died without a word. Bookmarks count, so a quiet cluster stays young.

import type { KubeApi } from "../../platform/http/kube-api.ts";

type FollowedApi = Pick<KubeApi, "list" | "watch" | "refreshCredentials">;

export interface WatchAges {
  /** The API to follow with; it only listens. */
  readonly api: FollowedApi;
  /** Undefined: nothing was ever heard of this resource. */
  ageSeconds(resource: string): number | undefined;
  /** Of all that were heard of. */
  all(): readonly (readonly [resource: string, seconds: number])[];
}

export function createWatchAges(api: FollowedApi, nowMs: () => number): WatchAges {
  const heardMs = new Map<string, number>();

  async function* hearing(resource: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    heardMs.set(resource, nowMs());
    for await (const chunk of chunks) {
      heardMs.set(resource, nowMs());
      yield chunk;
    }
  }

  const ageSeconds = (resource: string): number | undefined => {
    const lastMs = heardMs.get(resource);
    return lastMs === undefined ? undefined : (nowMs() - lastMs) / 1000;
  };
  return {
    api: {
      list: async (ref, query, signal) => hearing(ref.plural, await api.list(ref, query, signal)),
      watch: async (ref, query, signal) => hearing(ref.plural, await api.watch(ref, query, signal)),
      refreshCredentials: () => api.refreshCredentials(),
    },
    ageSeconds,
    all: () => [...heardMs.keys()].map((resource) => [resource, ageSeconds(resource) ?? 0] as const),
  };
}
