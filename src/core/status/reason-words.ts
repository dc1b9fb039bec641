// The reasons of the policy as sentences, for people who do not know its words.

const WORDS: Readonly<Record<string, string>> = {
  sidecar: "it was injected with a sidecar, and nothing speaks against capturing it",
  "host-network": "it uses the node's network, which is never touched",
  "excluded-namespace": "its namespace is among EXCLUDE_NAMESPACES",
  "own-agent": "it is a pod of this agent, which must start whatever happens",
  "istio-init": "its own init container istio-init makes the redirection",
  "proxy-disabled": "DISABLE_ENVOY of its istio-proxy is true",
  "no-proxy-container": "it has no container istio-proxy",
  "proxy-not-sidecar": "its istio-proxy runs as something else than a sidecar (a gateway, for instance)",
  "inject-disabled": "sidecar.istio.io/inject is false",
  "not-injected": "it has no annotation sidecar.istio.io/status, so no injector has touched it",
  "interception-mode-none": "sidecar.istio.io/interceptionMode is NONE",
  "bad-annotation": "one of its annotations cannot be followed",
  "bad-proxy-id": "its istio-proxy runs as an id that the kernel does not have",
  finished: "it has ended",
  "pod-label": "its labels put it into ambient mode",
  "namespace-label": "the labels of its namespace put it into ambient mode",
  ztunnel: "it is a ztunnel, which serves the others",
  "sidecar-present": "it has a sidecar",
  "not-selected": "its labels and those of its namespace do not put it into ambient mode",
  "mode-off": "ambient mode is switched off on this node",
  "namespace-unknown": "the API server has not shown the labels of its namespace yet",
};

/** Undefined for a word that is not known here. */
export function reasonInWords(reason: string): string | undefined {
  return Object.hasOwn(WORDS, reason) ? WORDS[reason] : undefined;
}
