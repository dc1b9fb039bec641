/**
 * The kubeconfig upstream's agent writes for its plugin (contract 3.4): how it looks, and how one is recognised. Our plugin
 * reads none (ADR 15); it is written for others, where asked for, and those of an upstream before us are removed.
 */

/** In the run directory, since Istio 1.24. */
export const KUBECONFIG_NAME = "istio-cni-kubeconfig";
/** Larger ones are not looked into. */
export const MAX_KUBECONFIG_BYTES = 1 << 20;

const CONTEXT = "istio-cni-context";

export type HostKubeconfig = {
  readonly protocol: "https" | "http";
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** PEM bytes; undefined: any server is trusted. */
  readonly ca: Uint8Array | undefined;
  readonly token: string;
};

/** The file as YAML; strings are quoted as JSON, which YAML reads alike. */
export function renderHostKubeconfig({ protocol, host, port, ca, token }: HostKubeconfig): string {
  const server = `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const trust = ca === undefined ? "insecure-skip-tls-verify: true" : `certificate-authority-data: ${ca.toBase64()}`;
  return `apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    ${trust}
    server: ${JSON.stringify(server)}
users:
- name: istio-cni
  user:
    token: ${JSON.stringify(token)}
contexts:
- name: ${CONTEXT}
  context:
    cluster: local
    user: istio-cni
current-context: ${CONTEXT}
`;
}

/** Whether it is one that upstream's agent wrote, of any version, or we did: all of them choose this context. */
export function isIstioCniKubeconfig(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes);
  return /^kind: *"?Config"?\s*$/m.test(text) && new RegExp(`^current-context: *"?${CONTEXT}"?\\s*$`, "m").test(text);
}
