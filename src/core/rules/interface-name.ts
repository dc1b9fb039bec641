// Which interface names may stand in a rule. They come from annotations of pods, and in the iptables-legacy dialect they
// become words of a text (CVE-2026-23766): names that the kernel would take and a tool would read as something else are none.

/** 1 to 15 characters, a letter first: istio pkg/util/net/ip.go@1.30.3, contract 5.2. */
const INTERFACE_NAME = /^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/;

/** For messages. */
export const INTERFACE_NAME_ACCEPTED = "1 to 15 characters, a letter first, then letters, digits, '_', '.' or '-'";

/** Whether a rule may name this interface. */
export function isInterfaceName(text: string): boolean {
  return INTERFACE_NAME.test(text);
}
