/** Objects of the API, a kubeconfig and a manifest to begin with. */
export const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "web-0",
    namespace: "shop",
    uid: "6a1c",
    resourceVersion: "41",
    creationTimestamp: "2026-01-01T00:00:00Z",
    deletionTimestamp: null,
    labels: { app: "web", "istio.io/dataplane-mode": "ambient" },
    annotations: { "sidecar.istio.io/status": "{}", "kubernetes.io/config.hash": "h", note: "x" },
  },
  spec: {
    nodeName: "node-1",
    hostNetwork: false,
    hostUsers: true,
    serviceAccountName: "default",
    restartPolicy: "Always",
    runtimeClassName: "runc",
    securityContext: { runAsUser: 1000, runAsGroup: 1000 },
    containers: [
      {
        name: "istio-proxy",
        args: ["proxy"],
        env: [
          { name: "A", value: "b" },
          { name: "C", valueFrom: { fieldRef: {} } },
        ],
        securityContext: { runAsUser: 1337 },
      },
    ],
    initContainers: [{ name: "istio-validation", restartPolicy: "Always" }],
  },
  status: {
    phase: "Running",
    podIP: "10.0.0.5",
    podIPs: [{ ip: "10.0.0.5" }, { ip: "fd00::5" }],
    initContainerStatuses: [
      {
        name: "istio-validation",
        restartCount: 2,
        state: { terminated: { reason: "Error", exitCode: 126, message: "m" } },
        lastState: {},
      },
    ],
  },
};

export const NAMESPACE = {
  kind: "Namespace",
  metadata: { name: "shop", uid: "n1", resourceVersion: "3", labels: { a: "b" } },
};

export const DAEMON_SET = {
  metadata: { uid: "d1", deletionTimestamp: "2026-01-01T00:00:00Z" },
  spec: {
    template: {
      spec: {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [
                {
                  matchExpressions: [{ key: "a", operator: "Gt", values: ["0"] }],
                  matchFields: [{ key: "metadata.name", operator: "In", values: ["n"] }],
                },
              ],
            },
          },
        },
      },
    },
  },
};

export const KUBECONFIG = `apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    certificate-authority-data: "AAAA"
    server: https://10.0.0.1:443
    tls-server-name: kubernetes
    insecure-skip-tls-verify: false
users:
- name: me
  user:
    token: "t"   # a comment
    tokenFile: /var/token
contexts:
- {name: c, context: {cluster: local, user: me}}
current-context: c
`;

export const MANIFEST = `apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata:
      annotations:
        note: |
          two
          lines
        folded: >-
          one
          line
        quoted: "a
          b\\
          c"
    spec:
      hostNetwork: false
      securityContext: {runAsUser: 1}
      containers:
      - name: istio-proxy
        args: [proxy, "--log", 'x']
        env:
        - {name: A, value: "1"}
...
{"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}
`;

export const KUBE_WORDS: readonly string[] = [
  "metadata",
  "spec",
  "status",
  "uid",
  "name",
  "namespace",
  "resourceVersion",
  "labels",
  "annotations",
  "containers",
  "initContainers",
  "env",
  "value",
  "valueFrom",
  "args",
  "istio-",
  "istio-proxy",
  "securityContext",
  "runAsUser",
  "podIPs",
  "ip",
  "terminated",
  "template",
  "nodeSelectorTerms",
  "matchExpressions",
  "key",
  "operator",
  "values",
  "In",
  "Gt",
  "items",
  "kind",
  "9007199254740993",
];

export const YAML_WORDS: readonly string[] = [
  ": ",
  "- ",
  "-",
  "{",
  "}",
  "[",
  "]",
  ",",
  "#",
  " #",
  '"',
  "'",
  "''",
  '\\"',
  "\n",
  "\r\n",
  "  ",
  "\t",
  "---",
  "...",
  "|",
  ">",
  "&a",
  "*a",
  "!t",
  "~",
  "null",
  "true",
  "0x1f",
  "1.10",
  "\ufeff",
  "clusters",
  "cluster",
  "users",
  "user",
  "contexts",
  "context",
  "current-context",
  "name",
  "server",
  "token",
  "exec",
  "__proto__",
  "? ",
  "%",
  "@",
  "`",
];
