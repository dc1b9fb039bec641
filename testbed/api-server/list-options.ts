// The query of a list or watch: text to typed options, with Kubernetes' own checks
// (k8s.io/apimachinery pkg/apis/meta/internalversion/validation@v0.35). Does not answer anything itself.
import { ApiError, badRequest, type Cause, invalid } from "./api-error.ts";
import type { Resource } from "./resources.ts";
import { type Predicate, parseFieldSelector, parseLabelSelector } from "./selectors.ts";

/** `metav1.ListOptions`, read. `resourceVersion` undefined means "most recent". */
export interface ListOptions {
  readonly watch: boolean;
  readonly selects: Predicate;
  readonly hasSelector: boolean;
  readonly limit: number;
  readonly continueToken: string;
  readonly resourceVersion: number | undefined;
  readonly match: "" | "Exact" | "NotOlderThan";
  readonly timeoutSeconds: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
}

const LIST_OPTIONS = { kind: "ListOptions", group: "meta.k8s.io" };

/**
 * Reads the options of a list or watch of `resource`. `watchList` is the feature gate that allows sendInitialEvents.
 * Throws ApiError 400 (a value that cannot be read) or 422 (a combination that is not allowed).
 */
export function parseListOptions(query: URLSearchParams, resource: Resource, watchList: boolean): ListOptions {
  const labelSelector = query.get("labelSelector") ?? "";
  const fieldSelector = query.get("fieldSelector") ?? "";
  const isLabeled = parseLabelSelector(labelSelector);
  const isField = parseFieldSelector(fieldSelector, resource);
  const match = query.get("resourceVersionMatch") ?? "";
  const isWatch = parseBoolean(query, "watch") ?? false;
  const options: ListOptions = {
    watch: isWatch,
    selects: (object) => isLabeled(object) && isField(object),
    hasSelector: labelSelector !== "" || fieldSelector !== "",
    limit: parseInteger(query, "limit") ?? 0,
    continueToken: query.get("continue") ?? "",
    resourceVersion: parseResourceVersion(query.get("resourceVersion") ?? "", isWatch),
    match: match === "Exact" || match === "NotOlderThan" ? match : "",
    timeoutSeconds: parseInteger(query, "timeoutSeconds"),
    allowWatchBookmarks: parseBoolean(query, "allowWatchBookmarks") ?? false,
    sendInitialEvents: parseBoolean(query, "sendInitialEvents"),
  };
  const causes = options.watch ? checkWatch(options, match, watchList) : checkList(options, match);
  if (causes.length > 0) throw invalid(LIST_OPTIONS, "", causes);
  // k8s.io/apimachinery SetListOptionsDefaults: with the gate, a watch from "now" or "any" is a streamed list too.
  const isFromNow = options.resourceVersion === undefined || options.resourceVersion === 0;
  const isStreamed = options.watch && watchList && isFromNow && options.sendInitialEvents === undefined;
  return isStreamed ? { ...options, sendInitialEvents: true } : options;
}

const forbidden = (field: string, why: string): Cause => ({
  reason: "FieldValueForbidden",
  message: `Forbidden: ${why}`,
  field,
});
const unsupported = (match: string, values: string): Cause => ({
  reason: "FieldValueNotSupported",
  message: `Unsupported value: ${JSON.stringify(match)}: supported values: ${values}`,
  field: "resourceVersionMatch",
});

function checkList(options: ListOptions, match: string): readonly Cause[] {
  const causes: Cause[] = [];
  if (match !== "") {
    if (options.resourceVersion === undefined) {
      causes.push(
        forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
      );
    }
    if (options.continueToken !== "") {
      causes.push(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
    }
    if (options.match === "") causes.push(unsupported(match, '"Exact", "NotOlderThan", ""'));
    if (match === "Exact" && options.resourceVersion === 0) {
      causes.push(
        forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
      );
    }
  }
  if (options.sendInitialEvents !== undefined)
    causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  return causes;
}

function checkWatch(options: ListOptions, match: string, watchList: boolean): readonly Cause[] {
  const causes: Cause[] = [];
  if (options.sendInitialEvents !== undefined) {
    if (match !== "NotOlderThan") {
      causes.push(
        forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
      );
    }
    if (!watchList) {
      causes.push(
        forbidden(
          "sendInitialEvents",
          "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
        ),
      );
    }
  }
  if (match !== "") {
    if (options.sendInitialEvents === undefined) {
      causes.push(
        forbidden(
          "resourceVersionMatch",
          "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
      );
    }
    if (match !== "NotOlderThan") causes.push(unsupported(match, '"NotOlderThan"'));
    if (options.continueToken !== "") {
      causes.push(forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
    }
  }
  return causes;
}

function parseResourceVersion(text: string, isWatch: boolean): number | undefined {
  if (text === "") return undefined;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const quoted = JSON.stringify(text);
  const why = `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`;
  throw isWatch ? new ApiError(500, "", why) : badRequest(`invalid resource version: ${why}`);
}

function parseInteger(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? "";
  if (text === "") return undefined;
  if (/^-?\d+$/.test(text)) return Number(text);
  throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}

// As apimachinery's conversion of query parameters: "false" and "0" are false, any other text is true.
function parseBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return text !== "" && text !== "0" && text.toLowerCase() !== "false" ? true : text === "" ? undefined : false;
}
