/** Targets: documents that our commands read from an agent, and the paths that an agent is asked for. */
import { answerJson, createAdminRouter } from "../../../src/agent/status/admin-router.ts";
import { CONFIG_DOCUMENT, readOptions } from "../../../src/core/status/config-document.ts";
import { LOG_LEVELS_DOCUMENT, renderLogLevels } from "../../../src/core/status/log-levels-document.ts";
import { renderStatus } from "../../../src/core/status/render-status.ts";
import { ShapeError } from "../../../src/core/status/shape.ts";
import { POD_EXPLANATION, STATUS_DOCUMENT } from "../../../src/core/status/status-document.ts";
import { TRACE_DOCUMENT } from "../../../src/core/trace/trace-document.ts";
import { bytesOf, createTarget, type FuzzTarget, textOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";
import { mutateText } from "../mutate-text.ts";
import { holds } from "../oracle.ts";

const SHAPES = {
  status: STATUS_DOCUMENT,
  explanation: POD_EXPLANATION,
  trace: TRACE_DOCUMENT,
  config: CONFIG_DOCUMENT,
  levels: LOG_LEVELS_DOCUMENT,
};
type ShapeName = keyof typeof SHAPES;

function isShapeName(name: string): name is ShapeName {
  return Object.hasOwn(SHAPES, name);
}

const OPTION = { name: "A", flag: null, env: "A", value: "1", standsFor: null, source: "default", hasEffect: true };
const SEEDS = {
  config: { schemaVersion: 1, options: [OPTION] },
  levels: {
    schemaVersion: 1,
    levels: [{ scope: "default", level: "info" }],
    configured: [{ scope: "default", level: "info" }],
    temporary: { levels: [{ scope: "a", level: "debug" }], secondsLeft: 3 },
  },
};

/** The document's kind stands in the JSON besides it. */
const documents = createTarget(
  {
    name: "documents",
    parsers: [
      "core/status/shape.ts",
      "core/status/status-document.ts",
      "core/status/config-document.ts",
      "core/status/log-levels-document.ts",
      "core/trace/trace-document.ts",
    ],
    mutators: [mutateJson],
    words: [
      "status",
      "explanation",
      "trace",
      "config",
      "levels",
      "schemaVersion",
      "pods",
      "options",
      "node",
      "1",
      "null",
    ],
    seeds: Object.entries(SEEDS).map(([kind, document]) => bytesOf(JSON.stringify({ kind, document }))),
  },
  [ShapeError],
  (input) => {
    let value: unknown;
    try {
      value = JSON.parse(textOf(input));
    } catch {
      return undefined;
    }
    const { kind, document } = { kind: "status", document: value, ...(typeof value === "object" ? value : {}) };
    const name: ShapeName = typeof kind === "string" && isShapeName(kind) ? kind : "status";
    if (name === "config") return readOptions(CONFIG_DOCUMENT.read(document, "").options);
    if (name === "levels") return renderLogLevels(LOG_LEVELS_DOCUMENT.read(document, ""));
    if (name === "status") return renderStatus(STATUS_DOCUMENT.read(document, ""), { hasColours: false });
    return SHAPES[name].read(document, "");
  },
);

const router = createAdminRouter({
  "GET /status": () => answerJson({}),
  "GET /pods/:namespace/:name": ({ params, query }) =>
    answerJson({ ...Object.fromEntries(params), to: query.get("to") }),
  "PUT /log-levels": () => answerJson({}),
});

/** A request line as HTTP gives it: method and target. */
const requests = {
  ...createTarget(
    {
      name: "admin-path",
      parsers: ["agent/status/admin-router.ts"],
      mutators: [mutateText],
      words: ["GET ", "PUT ", "/status", "/pods/", "/", "?", "%2e%2e", "%", "%ff", "%00", "//", "__proto__"],
      seeds: ["GET /pods/shop/web-0?to=1", "GET /status", "PUT /log-levels?level=a"].map(bytesOf),
    },
    [],
    () => undefined,
  ),
  async run(inputs: readonly Uint8Array[], started: (input: Uint8Array) => void) {
    const outcomes = [];
    for (const input of inputs) {
      started(input);
      const [method = "", ...rest] = textOf(input).split(" ");
      try {
        const { status, body } = await router(method, rest.join(" "));
        holds([200, 404, 405].includes(status), `Answers: ${status}`);
        holds(String(body).length < 8192 + input.length * 8, "Unbounded: an answer");
        outcomes.push({ features: [`${status} ${input.length < 64} ${rest.length}`] });
      } catch (error) {
        outcomes.push({ features: [], failure: error instanceof Error ? error : new Error(String(error)) });
      }
    }
    return outcomes;
  },
} satisfies FuzzTarget;

export const DOCUMENT_TARGETS: readonly FuzzTarget[] = [documents, requests];
