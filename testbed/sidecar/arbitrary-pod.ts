// Random pods for property tests: any mix of annotations, environment and users that the policy accepts.
import fc from "fast-check";
import { CAPTURE_ANNOTATIONS } from "../../src/core/policy/sidecar-annotations.ts";
import type { PodWords } from "./pod-words.ts";

const NAME = CAPTURE_ANNOTATIONS;
/** As numbers come in the tests' packets, and any other. */
const port = fc.oneof(fc.constantFrom(0, 53, 80, 443, 3306, 8080, 15002, 15008, 15020, 65535), fc.nat({ max: 65_535 }));
const ports = list(port.map(String), 6);
const range = fc.oneof(
  fc.constantFrom(
    "10.0.0.0/8",
    "10.2.0.9/24",
    "0.0.0.0/0",
    "127.0.0.1/32",
    "fd00::/8",
    "fd00:2::/32",
    "::/0",
    "::1/128",
  ),
  fc.tuple(fc.ipV4(), fc.nat({ max: 32 })).map(([ip, length]) => `${ip}/${length}`),
  fc.tuple(fc.ipV6(), fc.nat({ max: 128 })).map(([ip, length]) => `${ip}/${length}`),
);
const ranges = list(range, 5);
const interfaceName = fc.oneof(
  fc.constantFrom("eth0", "eth1", "vnet0", "net-2.x"),
  fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/),
);
const interfaces = list(interfaceName, 3);
const flag = fc.constantFrom("true", "false");
/** Ids of users and groups as Kubernetes takes them. */
const id = fc.oneof(fc.constantFrom(0, 1337, 2000, 2_147_483_647), fc.nat({ max: 2_147_483_647 }));
const groups = list(fc.constantFrom("202", "203", "1337", "4294967294"), 3).filter((text) => text !== "");

const annotations = record({
  [NAME.interceptionMode]: fc.constantFrom("REDIRECT", "TPROXY"),
  [NAME.includeOutboundIpRanges]: fc.oneof(fc.constant("*"), ranges),
  [NAME.excludeOutboundIpRanges]: ranges,
  [NAME.includeInboundPorts]: fc.oneof(fc.constant("*"), ports),
  [NAME.excludeInboundPorts]: ports,
  [NAME.includeOutboundPorts]: ports,
  [NAME.excludeOutboundPorts]: ports,
  [NAME.excludeInterfaces]: interfaces,
  [NAME.rerouteVirtualInterfaces]: interfaces,
  [NAME.kubevirtInterfaces]: interfaces,
});
const env = record({ ISTIO_META_DNS_CAPTURE: flag, ISTIO_DUAL_STACK: flag, INVALID_DROP: flag });
const loopback = fc.constantFrom("127.0.0.1/32", "127.0.0.0/8", "127.0.0.1/8", "0.0.0.0/0", "127.0.0.4/30");
/** Groups are either included or excluded. */
const agentEnv = fc.oneof(
  record({ ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: loopback, ISTIO_OUTBOUND_OWNER_GROUPS: groups }),
  record({ ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: loopback, ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: groups }),
);

/** Any pod that is captured. */
export const arbitraryPod: fc.Arbitrary<PodWords> = fc
  .record({ annotations, env, agentEnv, ids: fc.record({ runAsUser: id, runAsGroup: id }, { requiredKeys: [] }) })
  .map(({ ids, ...words }) => ({ ...words, ...ids }));

/** Any set of families a capture can have; none makes no sense. */
export const arbitraryFamilies = fc.constantFrom(
  { v4: true, v6: false },
  { v4: false, v6: true },
  { v4: true, v6: true },
);

/** Texts separated by commas, at times with blanks around them, at times none. */
function list(entry: fc.Arbitrary<string>, maxLength: number): fc.Arbitrary<string> {
  const separator = fc.constantFrom(",", ", ", " ,");
  return fc.tuple(fc.array(entry, { maxLength }), separator).map(([entries, between]) => entries.join(between));
}

/** Any of the keys may be absent. */
function record(fields: Readonly<Record<string, fc.Arbitrary<string>>>): fc.Arbitrary<Record<string, string>> {
  return fc.record(fields, { requiredKeys: [] }).map((values) => ({ ...values }) as Record<string, string>);
}
