/** Files with something that reads what comes from outside and has no fuzz target, each with the reason; a test finds others. */
export const NOT_FUZZED: Readonly<Record<string, string>> = {
  "agent/install/end-agents.ts": "fields of API objects by core/kube/object-fields.ts, which has one",
  "agent/install/plugin-users.ts": "JSON.parse() and atob() under one catch; nothing of it is kept",
  "agent/netns/scan-netns.ts": "asks core/netns, which has one, and counts",
  "agent/verify/change-monitor.ts": "two attributes of one message by core/netlink/message.ts, which has one",
  "cmd/network-config.ts": "JSON.parse() under a catch, and whether it is an object",
  "core/config/commands.ts": "a word of a closed set",
  "core/json-value.ts": "JSON.parse() under a catch",
  "core/netlink/nft-verdict.ts": "a number of a closed set, by nft-iptables and nft-native",
  "platform/http/credentials.ts": "URL.parse() of what core/kube/kubeconfig.ts has checked; sizes of files",
  "platform/linux/tcp-socket.ts": "a struct of fixed size that the kernel fills",
};
