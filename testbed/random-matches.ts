// Matches at random, for tests that write rules and read them back: what both dialects can say. What only one can say is in
// its own test.

import fc from "fast-check";
import { maskCidr } from "../src/core/address.ts";
import type { Match } from "../src/core/rules/model.ts";
import { CONNTRACK_STATES } from "../src/core/rules/model.ts";

/** A record with the prototype every object literal has, so that it can be compared strictly. */
export const plain = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(fields, { noNullPrototype: true });

export const negated = fc.boolean();
export const u32 = fc.integer({ min: 0, max: 0xffffffff });
export const port = fc.integer({ min: 0, max: 0xffff });
export const name = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/);
const states = fc
  .subarray([...CONNTRACK_STATES], { minLength: 1 })
  .map((chosen) => CONNTRACK_STATES.filter((state) => chosen.includes(state)));

/** One of each kind; where the dialects differ in what they can hold of it, the test says. */
export function matchesOf(
  family: 4 | 6,
  bounds: {
    readonly prefixLength: { readonly min: number };
    readonly ports: fc.Arbitrary<readonly number[]>;
    readonly mask: fc.Arbitrary<number>;
  },
): fc.Arbitrary<Match>[] {
  const size = family === 4 ? 4 : 16;
  const cidr = plain({
    bytes: fc.uint8Array({ minLength: size, maxLength: size }),
    prefixLength: fc.integer({ ...bounds.prefixLength, max: size * 8 }),
  }).map((fields) => maskCidr({ family, ...fields }));
  const { ports, mask } = bounds;
  return [
    plain({ kind: fc.constantFrom("iifname" as const, "oifname" as const), name, negated }),
    plain({
      kind: fc.constant("protocol" as const),
      protocol: fc.constantFrom("tcp" as const, "udp" as const),
      negated,
    }),
    plain({ kind: fc.constantFrom("source" as const, "destination" as const), cidr, negated }),
    plain({ kind: fc.constantFrom("sport" as const, "dport" as const), port, negated }),
    plain({ kind: fc.constantFrom("sports" as const, "dports" as const), ports, negated }),
    plain({ kind: fc.constantFrom("uid-owner" as const, "gid-owner" as const), id: u32, negated }),
    plain({ kind: fc.constantFrom("mark" as const, "connmark" as const), value: u32, mask, negated }),
    plain({ kind: fc.constant("ctstate" as const), states, negated }),
  ];
}
