import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "../../core/log.ts";
import type { Clock } from "../../platform/clock.ts";
import type { HttpListener } from "../../platform/http/server.ts";
import { type EndpointOptions, healthRoutes, metricsRoutes, serveEndpoint } from "./endpoints.ts";
import { createReadiness } from "./readiness.ts";

/** A listener that fails `failures` times, and everything that happened. */
function simulate(failures: number) {
  const events: string[] = [];
  const log: Logger = {
    debug: () => undefined,
    info: (message) => events.push(`info ${message}`),
    warn: (message) => events.push(`warn ${message}`),
    error: (message) => events.push(`error ${message}`),
    scope: () => log,
  };
  let left = failures;
  const opened = Promise.withResolvers<void>();
  const listen = async ({ port }: { port: number }): Promise<HttpListener> => {
    if (left-- > 0) throw new Error("listen EADDRINUSE");
    events.push("open");
    opened.resolve();
    return {
      port,
      close: async (deadlineMs) => {
        events.push(`close ${deadlineMs}`);
      },
    };
  };
  const clock: Clock = {
    nowMs: () => 0,
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      events.push(`sleep ${ms}`);
    },
  };
  return { events, opened: opened.promise, deps: { listen, clock, log } };
}

function optionsFor(port: number): { options: EndpointOptions; readiness: ReturnType<typeof createReadiness> } {
  const readiness = createReadiness();
  const condition = readiness.addCondition("health", "not listening yet");
  return { readiness, options: { name: "health", port, routes: {}, condition, closeDeadlineMs: 500 } };
}

describe("serveEndpoint()", () => {
  it("serves until the signal, then closes with its deadline", async () => {
    const { deps, events, opened } = simulate(0);
    const { options, readiness } = optionsFor(8000);
    const controller = new AbortController();
    const serving = serveEndpoint(deps, options, controller.signal);
    await opened;
    await Promise.resolve();
    assert.equal(readiness.isReady(), true);
    controller.abort();
    await serving;
    assert.deepEqual(events, ["open", "close 500"]);
  });

  it("tries a taken port again, says so once, and tells by readiness", async () => {
    const { deps, events, opened } = simulate(3);
    const { options, readiness } = optionsFor(8000);
    const reasons: string[] = [];
    const condition = {
      ready: () => reasons.push("ready"),
      notReady: (reason: string) => reasons.push(reason),
    };
    const controller = new AbortController();
    const serving = serveEndpoint(deps, { ...options, condition }, controller.signal);
    await opened;
    controller.abort();
    await serving;
    assert.deepEqual(events, [
      "warn Cannot listen on port 8000: listen EADDRINUSE; trying again",
      "sleep 250",
      "sleep 500",
      "sleep 1000",
      "open",
      "info Listening on port 8000 now",
      "close 500",
    ]);
    assert.equal(reasons[0], "Cannot listen on port 8000: listen EADDRINUSE; trying again");
    assert.equal(reasons.at(-1), "ready");
    assert.equal(readiness.isReady(), false);
  });

  it("ends when the signal comes while the port is taken", async () => {
    const { deps, events } = simulate(Number.POSITIVE_INFINITY);
    const controller = new AbortController();
    const sleep = async (ms: number): Promise<void> => {
      events.push(`sleep ${ms}`);
      if (ms === 10_000) controller.abort();
    };
    await serveEndpoint({ ...deps, clock: { ...deps.clock, sleep } }, optionsFor(1).options, controller.signal);
    assert.equal(events.at(-1), "sleep 10000");
  });

  it("has no listener for ports of 0 and less, and is ready without", async () => {
    for (const port of [0, -1]) {
      const { deps, events } = simulate(0);
      const { options, readiness } = optionsFor(port);
      await serveEndpoint(deps, options, new AbortController().signal);
      assert.deepEqual(events, ["info health endpoint is off"]);
      assert.equal(readiness.isReady(), true);
    }
  });
});

describe("the routes", () => {
  it("answer /readyz with 503 and reasons, then with an empty 200; /healthz always with an empty 200", () => {
    const readiness = createReadiness();
    const install = readiness.addCondition("install", "copying the plugin");
    const routes = healthRoutes(readiness);
    assert.deepEqual(routes["/readyz"](), { status: 503, body: "Service Unavailable\ninstall: copying the plugin\n" });
    assert.deepEqual(routes["/healthz"](), { status: 200, body: "" });
    install.ready();
    assert.deepEqual(routes["/readyz"](), { status: 200, body: "" });
  });

  it("answer /metrics with the registry's text", () => {
    const answer = metricsRoutes({ render: () => "a 1\n" })["/metrics"]();
    assert.deepEqual(answer, { status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: "a 1\n" });
  });
});
