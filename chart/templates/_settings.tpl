{{/*
The settings that hold: defaults, profile, compatibility version, platform, what the user gave; last wins. In each of them
"cni" lies over the root, so that a user's bare value wins over a profile's scoped one. As JSON: {{ include "settings" . | fromJson }}
*/}}
{{- define "settings" -}}
{{- if not (hasKey (.Values._internal_defaults_do_not_set | default dict) "admissionPolicy") -}}
{{- fail "Cannot take the defaults of another chart, which helm's --reuse-values brings from the release that is there; accepted: --reset-then-reuse-values, or the values file" -}}
{{- end -}}
{{- $user := omit (deepCopy .Values) "_internal_defaults_do_not_set" -}}
{{- $global := $user.global | default dict -}}
{{- $layers := list .Values._internal_defaults_do_not_set -}}
{{- with coalesce $user.profile $global.profile -}}
{{- $layers = append $layers (include "settings.profile" (list $ "profile" .) | fromYaml) -}}
{{- end -}}
{{- with $user.compatibilityVersion -}}
{{- $layers = append $layers (include "settings.profile" (list $ "compatibilityVersion" (printf "compatibility-version-%v" .)) | fromYaml) -}}
{{- end -}}
{{- with coalesce $user.platform $global.platform -}}
{{- $layers = append $layers (include "settings.profile" (list $ "platform" (printf "platform-%v" .)) | fromYaml) -}}
{{- end -}}
{{- $settings := dict -}}
{{- range append $layers $user -}}
{{- $layer := deepCopy . -}}
{{- include "settings.merge" (list $settings (omit $layer "cni")) -}}
{{- include "settings.merge" (list $settings ($layer.cni | default dict)) -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}

{{/* A file of files/. Arguments: root, the value that names it, its name. */}}
{{- define "settings.profile" -}}
{{- $file := (index . 0).Files.Get (printf "files/profile-%v.yaml" (index . 2)) -}}
{{- if not $file -}}
{{- $known := list -}}
{{- range $path, $_ := (index . 0).Files.Glob "files/profile-*.yaml" -}}
{{- $known = append $known (trimSuffix ".yaml" (trimPrefix "files/profile-" $path)) -}}
{{- end -}}
{{- $value := index . 1 -}}
{{- $prefix := get (dict "platform" "platform-" "compatibilityVersion" "compatibility-version-") $value -}}
{{- $names := list -}}
{{- range $known -}}
{{- $isOther := or (hasPrefix "platform-" .) (hasPrefix "compatibility-version-" .) -}}
{{- if or (and $prefix (hasPrefix $prefix .)) (not (or $prefix $isOther)) -}}{{- $names = append $names (trimPrefix $prefix .) -}}{{- end -}}
{{- end -}}
{{- fail (printf "Cannot use %s: there is no %v; there are %s" $value (index . 2 | toString | trimPrefix $prefix) (join ", " $names)) -}}
{{- end -}}
{{- $file -}}
{{- end -}}

{{/*
Values that nothing reads, by their paths with ", " between them. Maps that are empty by default, or hold names of the user's
choice, are not looked into. Arguments: what was given, the defaults, the path so far.
*/}}
{{- define "settings.unknown" -}}
{{- $defaults := index . 1 -}}
{{- $path := index . 2 -}}
{{- $found := list -}}
{{- range $key, $value := index . 0 -}}
{{- $below := printf "%s%s" $path $key -}}
{{- if not (hasKey $defaults $key) -}}
{{- $found = append $found $below -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $defaults $key)) (get $defaults $key) (not (has $key (list "global" "resources" "seccompProfile" "updateStrategy"))) -}}
{{- with include "settings.unknown" (list $value (get $defaults $key) (printf "%s." $below)) -}}{{- $found = append $found . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- join ", " $found -}}
{{- end -}}

{{/* Lays the second map over the first, which it changes. A null takes away what was there. */}}
{{- define "settings.merge" -}}
{{- $under := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- $before := get $under $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $before) -}}
{{- include "settings.merge" (list $before $value) -}}
{{- else -}}
{{- $_ := set $under $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" or nothing: a boolean, or its word as --set-string leaves it. */}}
{{- define "settings.isTrue" -}}
{{- if eq (toString .) "true" -}}true{{- end -}}
{{- end -}}

{{/* A value as it is written in an environment variable: 1000000 and not 1e+06. */}}
{{- define "settings.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* A map of texts, for labels and the like: whatever --set made of a value, and without what is null. */}}
{{- define "settings.strings" -}}
{{- $strings := dict -}}
{{- range $name, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $strings $name (include "settings.text" $value) -}}{{- end -}}
{{- end -}}
{{- if $strings -}}{{- toYaml $strings -}}{{- end -}}
{{- end -}}

{{/* Whether cluster-wide objects are wanted, and those of the namespace. */}}
{{- define "settings.hasCluster" -}}
{{- if has .global.resourceScope (list "all" "cluster") -}}true{{- end -}}
{{- end -}}
{{- define "settings.hasNamespace" -}}
{{- if has .global.resourceScope (list "all" "namespace") -}}true{{- end -}}
{{- end -}}

{{/* Which of its ways repair goes: repair, delete, label, or nothing. */}}
{{- define "settings.repair" -}}
{{- with .repair -}}
{{- if include "settings.isTrue" .enabled -}}
{{- if include "settings.isTrue" .repairPods -}}repair
{{- else if include "settings.isTrue" .deletePods -}}delete
{{- else if include "settings.isTrue" .labelPods -}}label
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The node's plugin folder; an empty value leaves it to the server's version. Arguments: root, settings. */}}
{{- define "settings.binDir" -}}
{{- $server := (index . 0).Capabilities.KubeVersion -}}
{{- $version := printf "%s %s" $server.Version $server.GitVersion -}}
{{- (index . 1).cniBinDir | default (contains "-gke" $version | ternary "/home/kubernetes/bin" "/opt/cni/bin") -}}
{{- end -}}
