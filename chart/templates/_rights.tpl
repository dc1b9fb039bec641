{{/* What the agent's container may do on its node. Arguments: root, settings, whether AppArmor is set by annotation. */}}
{{- define "rights.container" -}}
{{- $settings := index . 1 -}}
privileged: false
# The node's CNI folders and the sockets in the run directory belong to root.
runAsUser: 0
runAsGroup: 0
runAsNonRoot: false
{{- if include "settings.isTrue" $settings.readOnlyRootFilesystem }}
# It writes to the folders of the node that are mounted, and nowhere else.
readOnlyRootFilesystem: true
{{- end }}
# allowPrivilegeEscalation cannot be false beside SYS_ADMIN: the API server refuses it.
capabilities:
  drop: [ALL]
  add:
    # Rules, routes, policy rules and sets, in the namespaces of pods and of the node.
    - NET_ADMIN
    # Raw sockets: what iptables-legacy and the look for its tables speak through.
    - NET_RAW
    # To read the network namespace of a process of the node (/host/proc/<pid>/ns/net) and its root.
    - SYS_PTRACE
    # To enter a pod's network namespace (setns).
    - SYS_ADMIN
    # CNI folders that belong to somebody else than root, as some distributions have them.
    - DAC_OVERRIDE
{{- if not (index . 2) }}
# The runtimes' default profile forbids to look at processes outside the container.
appArmorProfile:
  type: Unconfined
{{- end }}
{{- with $settings.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.seLinuxOptions }}
seLinuxOptions:
  {{- include "settings.strings" (merge (dict) . (dict "type" "spc_t")) | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Requests and limits without what was set to null. */}}
{{- define "rights.resources" -}}
{{- $kept := dict -}}
{{- range $kind, $amounts := . -}}
{{- $present := dict -}}
{{- if kindIs "map" $amounts -}}
{{- range $name, $amount := $amounts -}}{{- if $amount -}}{{- $_ := set $present $name $amount -}}{{- end -}}{{- end -}}
{{- if $present -}}{{- $_ := set $kept $kind $present -}}{{- end -}}
{{- else if $amounts -}}
{{- $_ := set $kept $kind $amounts -}}
{{- end -}}
{{- end -}}
{{- if $kept -}}{{- toYaml $kept -}}{{- end -}}
{{- end -}}

{{/* The rules of ClusterRole istio-cni-repair-role, and nothing where repair needs none. */}}
{{- define "rights.repair" -}}
{{- $way := include "settings.repair" . -}}
{{- if eq $way "delete" -}}
# Delete pods that started without redirection (repair.deletePods).
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
{{- else if eq $way "label" -}}
# Label pods that started without redirection (repair.labelPods).
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
{{- end -}}
{{- end -}}

{{/*
The rules of ClusterRole istio-cni-ambient, and nothing where there are none. When ambient mode is switched off, pods that were
in it are let out, and the annotation has to go with that: other nodes would go on to tunnel to them. So that right stays, but
only where a policy allows the agent's token nothing else. Arguments: root, settings.
*/}}
{{- define "rights.ambient" -}}
{{- $isAmbient := include "settings.isTrue" (index . 1).ambient.enabled -}}
{{- if or $isAmbient (include "rights.hasPolicy" .) -}}
# The annotation ambient.istio.io/redirection, for istiod to see; and to take it away when ambient mode was switched off.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
{{- end }}
{{- if $isAmbient }}
# Whose labels enrol their pods. "get": a namespace whose pods start before the watch has shown it.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}

{{/* Whether the admission policy is there. Arguments: root, settings. */}}
{{- define "rights.hasPolicy" -}}
{{- $wish := toString (index . 1).admissionPolicy.enabled -}}
{{- if or (eq $wish "true") (and (ne $wish "false") (semverCompare ">=1.30.0-0" (index . 0).Capabilities.KubeVersion.Version)) -}}true{{- end -}}
{{- end -}}

{{/* A container that only speaks: it runs as nobody, without any right. */}}
{{- define "rights.none" -}}
securityContext:
  privileged: false
  runAsUser: 65532
  runAsGroup: 65532
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- end -}}
