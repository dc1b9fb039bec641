/**
 * Options of the verification of running pods (ADR 7); none of them is upstream's, which looks once.
 */

import { option } from "./option.ts";
import { duration } from "./value-type.ts";

export const VERIFY_OPTIONS = {
  interval: option({
    env: "VERIFY_INTERVAL",
    type: duration(1000, 600_000),
    fallback: 60_000,
    doc: "Longest time between two looks at a pod that nothing was heard of (not upstream's).",
  }),
  wholeInterval: option({
    env: "VERIFY_WHOLE_INTERVAL",
    type: duration(10_000, 3_600_000),
    fallback: 600_000,
    doc: "Longest time between two looks that compare every rule even if the kernel says that none has changed (not upstream's).",
  }),
} as const;
