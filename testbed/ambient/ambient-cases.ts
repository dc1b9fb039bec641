// Captures that between them reach every row of contract 7.6: the one case table of the golden, tracer and kernel tests of
// ambient pods.

import type { AmbientCapture } from "../../src/core/rules/ambient-capture.ts";
import { DEFAULT_PROBE_SOURCE } from "../../src/core/rules/ambient-numbers.ts";

/** A pod without annotations on an agent without options. */
export const DEFAULT_AMBIENT_CAPTURE: AmbientCapture = {
  mode: "ambient",
  families: { v4: true, v6: true },
  captureInbound: true,
  captureDns: false,
  virtualInterfaces: [],
  probeSource: DEFAULT_PROBE_SOURCE,
};

/** Name → capture, with both families where the name does not say one. */
export const AMBIENT_CASES: Readonly<Record<string, AmbientCapture>> = {
  default: DEFAULT_AMBIENT_CAPTURE,
  dns: { ...DEFAULT_AMBIENT_CAPTURE, captureDns: true },
  bypass: { ...DEFAULT_AMBIENT_CAPTURE, captureInbound: false },
  interfaces: { ...DEFAULT_AMBIENT_CAPTURE, virtualInterfaces: ["vnet0", "k6t-eth0.1"] },
  "bypass-dns": { ...DEFAULT_AMBIENT_CAPTURE, captureInbound: false, captureDns: true },
  "bypass-interfaces": { ...DEFAULT_AMBIENT_CAPTURE, captureInbound: false, virtualInterfaces: ["vnet0"] },
  all: { ...DEFAULT_AMBIENT_CAPTURE, captureDns: true, virtualInterfaces: ["vnet0"] },
  "all-bypass": { ...DEFAULT_AMBIENT_CAPTURE, captureInbound: false, captureDns: true, virtualInterfaces: ["vnet0"] },
  "v4-all": {
    ...DEFAULT_AMBIENT_CAPTURE,
    captureDns: true,
    virtualInterfaces: ["vnet0"],
    families: { v4: true, v6: false },
  },
  "v6-all": {
    ...DEFAULT_AMBIENT_CAPTURE,
    captureDns: true,
    virtualInterfaces: ["vnet0"],
    families: { v4: false, v6: true },
  },
};
