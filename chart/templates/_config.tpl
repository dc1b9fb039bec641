{{/*
The agent's environment, by the names of `install-cni --help`, which are upstream's. What the agent accepts without effect is
left out, for it would only say so. Arguments: root, settings.
*/}}
{{- define "config.data" -}}
{{- $settings := index . 1 -}}
{{- $ambient := $settings.ambient -}}
{{- $repair := $settings.repair -}}
AMBIENT_ENABLED: {{ $ambient.enabled | quote }}
AMBIENT_ENABLEMENT_SELECTOR: {{ $ambient.enablementSelectors | toYaml | quote }}
AMBIENT_DNS_CAPTURE: {{ $ambient.dnsCapture | quote }}
AMBIENT_IPV6: {{ $ambient.ipv6 | quote }}
{{ with $settings.cniConfFileName -}}
{{ include "config.checkNames" $settings -}}
CNI_CONF_NAME: {{ . | quote }}
{{ end -}}
CHAINED_CNI_PLUGIN: {{ $settings.chained | quote }}
ISTIO_OWNED_CNI_CONFIG: {{ $settings.istioOwnedCNIConfig | quote }}
{{ if include "settings.isTrue" $settings.istioOwnedCNIConfig -}}
{{ with $settings.istioOwnedCNIConfigFileName -}}
ISTIO_OWNED_CNI_CONFIG_FILENAME: {{ . | quote }}
{{ end -}}
{{ end -}}
EXCLUDE_NAMESPACES: {{ join "," $settings.excludeNamespaces | quote }}
REPAIR_ENABLED: {{ $repair.enabled | quote }}
REPAIR_LABEL_PODS: {{ $repair.labelPods | quote }}
REPAIR_DELETE_PODS: {{ $repair.deletePods | quote }}
REPAIR_REPAIR_PODS: {{ $repair.repairPods | quote }}
REPAIR_INIT_CONTAINER_NAME: {{ $repair.initContainerName | quote }}
REPAIR_BROKEN_POD_LABEL_KEY: {{ $repair.brokenPodLabelKey | quote }}
REPAIR_BROKEN_POD_LABEL_VALUE: {{ $repair.brokenPodLabelValue | quote }}
NATIVE_NFTABLES: {{ $settings.global.nativeNftables | quote }}
{{- $ours := dict "strictFamilies" "STRICT_FAMILIES" "ambientWhenAway" "AMBIENT_WHEN_AWAY" "conflistFight" "CNI_CONFLIST_FIGHT" "pluginWait" "PLUGIN_AGENT_WAIT" "verifyInterval" "VERIFY_INTERVAL" -}}
{{- range $key, $variable := $ours -}}
{{- $value := get $settings.agent $key -}}
{{- if not (has (toString $value) (list "" "<nil>")) }}
{{ $variable }}: {{ $value | quote }}
{{- end -}}
{{- end -}}
{{- range $name, $value := $settings.env -}}
{{- if not (kindIs "invalid" $value) }}
{{ $name }}: {{ include "settings.text" $value | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Refuses names that fit together with nothing, which the schema cannot see: it does not know what profiles set. */}}
{{- define "config.checkNames" -}}
{{- if include "settings.isTrue" .chained -}}
{{- $isOwned := and (include "settings.isTrue" .istioOwnedCNIConfig) (include "settings.isTrue" .ambient.enabled) -}}
{{- if and $isOwned (eq .cniConfFileName (.istioOwnedCNIConfigFileName | default "02-istio-cni.conflist")) -}}
{{- fail (printf "Cannot use istioOwnedCNIConfigFileName: %s is cniConfFileName, the list to be copied; accepted: another name, which comes before it" .cniConfFileName) -}}
{{- end -}}
{{- else if hasSuffix ".conflist" .cniConfFileName -}}
{{- fail (printf "Cannot use cniConfFileName: %s is the name of a list, and with chained=false a single configuration is written; accepted: a name that ends in .conf or .json" .cniConfFileName) -}}
{{- end -}}
{{- end -}}
