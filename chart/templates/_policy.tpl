{{/* The part all policies begin with, down to their variables. Arguments: root, resource, operations. */}}
{{- define "policy.match" -}}
failurePolicy: Fail
matchConstraints:
  # As it was asked for: the rights are for v1 alone.
  matchPolicy: Exact
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [{{ index . 2 }}]
      resources: [{{ index . 1 }}]
matchConditions:
  - name: by-the-agent
    expression: request.userInfo.username == "system:serviceaccount:{{ (index . 0).Release.Namespace }}:istio-cni"
variables:
  # The API server writes it into the token of each pod (ServiceAccountTokenPodNodeInfo, Kubernetes 1.30).
  - name: node
    expression: >-
      "authentication.kubernetes.io/node-name" in request.userInfo.extra
      ? request.userInfo.extra["authentication.kubernetes.io/node-name"][0] : ""
{{- end -}}

{{- define "policy.hasNode" -}}
- expression: variables.node != ""
  reason: Forbidden
  message: this token of istio-cni names no node; those of its pods do
{{- end -}}

{{- define "policy.isOwnPod" -}}
- expression: has(oldObject.spec.nodeName) && oldObject.spec.nodeName == variables.node
  reason: Forbidden
  message: istio-cni may change pods of its own node only
{{- end -}}

{{/* Arguments: root, settings, the policy's name. */}}
{{- define "policy.binding" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 2 }}
  labels:
    {{- include "names.labels" . | nindent 4 }}
spec:
  policyName: {{ index . 2 }}
  validationActions: [Deny]
{{- end -}}
