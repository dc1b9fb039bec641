/**
 * The Kubernetes API as this program uses it: six verbs on five kinds. Types only, so that services can be
 * written against them; the real one is kube-client.ts.
 *
 * Every method rejects with KubeApiError (core/kube/kube-api-error.ts), or with `signal.reason` when the
 * signal aborts, and has a deadline of its own besides.
 */

import type { ResourceRef } from "../../core/kube/resource-path.ts";

export type KubeSelection = {
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** Ask for PartialObjectMetadata: no spec, no status. */
  readonly isMetadataOnly?: boolean;
};

export type KubeListQuery = KubeSelection & {
  readonly limit: number;
  /** Empty for the first page. */
  readonly continueToken: string;
  /** "" is not sent: the newest. */
  readonly resourceVersion: string;
};

export type KubeWatchQuery = KubeSelection & {
  readonly resourceVersion: string;
  /** After that the server ends the watch. */
  readonly timeoutSeconds: number;
  /** So long may nothing arrive before the stream fails with `KUBE_API_TIMEOUT`. */
  readonly idleTimeoutMs: number;
};

/** The object may only be deleted while these hold (409 Conflict otherwise). */
export type KubePreconditions = { readonly uid?: string; readonly resourceVersion?: string };

/** Foreground: the object stands, being deleted, until what it owns is gone. Otherwise as the kind has it by default. */
export type KubeDeletion = KubePreconditions & { readonly propagation?: "Foreground" };

export interface KubeApi {
  /**
   * Resolves when the server has begun to answer. The chunks are the body of one page as it arrives, bounded; leaving the
   * loop closes the connection. The deadline covers the body.
   */
  list(ref: ResourceRef, query: KubeListQuery, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /**
   * Resolves when the server has accepted the watch. The chunks are the body as it arrives; leaving the loop closes
   * the connection. Bookmarks are asked for.
   */
  watch(ref: ResourceRef, query: KubeWatchQuery, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** The object as JSON. */
  get(ref: ResourceRef, signal: AbortSignal): Promise<unknown>;
  /** JSON merge patch (RFC 7386); the patched object. */
  patch(ref: ResourceRef, mergePatch: object, signal: AbortSignal): Promise<unknown>;
  /** `ref` is the collection; the created object. */
  create(ref: ResourceRef, object: object, signal: AbortSignal): Promise<unknown>;
  delete(ref: ResourceRef, deletion: KubeDeletion, signal: AbortSignal): Promise<void>;
  /** The next request reads token and certificates from disk, however recently that was done. */
  refreshCredentials(): void;
}
