{{/* Labels of every object. Arguments: root, settings. */}}
{{- define "names.labels" -}}
{{- $root := index . 0 -}}
{{- $settings := index . 1 -}}
app: istio-cni
istio.io/rev: {{ $settings.revision | default "default" | quote }}
install.operator.istio.io/owning-resource: {{ $settings.ownerName | default "unknown" | quote }}
operator.istio.io/component: Cni
app.kubernetes.io/name: istio-cni
app.kubernetes.io/part-of: istio
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service | quote }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The tag without variant. Arguments: root, settings. */}}
{{- define "names.tag" -}}
{{- $settings := index . 1 -}}
{{- include "settings.text" (coalesce $settings.tag $settings.global.tag (index . 0).Chart.AppVersion) -}}
{{- end -}}

{{/*
The image. One with a "/" in it is taken as it is; without tag and digest it gets `tag` if that is given, where upstream lets
the registry take "latest". Arguments: root, settings.
*/}}
{{- define "names.image" -}}
{{- $settings := index . 1 -}}
{{- if contains "/" $settings.image -}}
{{- $settings.image -}}
{{- if not (or (contains "@" $settings.image) (contains ":" (base $settings.image))) -}}
{{- with $settings.tag -}}:{{ include "settings.text" . }}{{- end -}}
{{- end -}}
{{- else -}}
{{- if regexMatch "[:@]" $settings.image -}}
{{- fail (printf "Cannot use image: %v has a tag or digest and no registry; accepted: REGISTRY/%v, or hub, image and tag apart" $settings.image $settings.image) -}}
{{- end -}}
{{- $variant := $settings.variant | default $settings.global.variant -}}
{{- $suffix := get (dict "distroless" "" "debug" "-dev") $variant | default "" -}}
{{- if and $variant (not (has $variant (list "distroless" "debug"))) -}}{{- $suffix = printf "-%s" $variant -}}{{- end -}}
{{- $settings.hub | default $settings.global.hub }}/{{ $settings.image }}:{{ include "names.tag" . }}{{ $suffix -}}
{{- end -}}
{{- end -}}

{{/* Labels and annotations that keep a pod of ours out of the mesh. */}}
{{- define "names.outOfMesh" -}}
sidecar.istio.io/inject: "false"
istio.io/dataplane-mode: none
{{- end -}}
