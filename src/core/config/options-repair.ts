/**
 * Options of the repair of pods that started without redirection.
 * Names, defaults and meaning: contract 1.2, 1.3 (upstream cni/pkg/cmd/root.go@1.30.3).
 */

import { LABEL_VALUE, labelKey, OBJECT_NAME, repairSelector } from "./domain-value-type.ts";
import { option } from "./option.ts";
import { BOOL, integer, TEXT } from "./value-type.ts";

export const REPAIR_OPTIONS = {
  enabled: option({
    flag: "repair-enabled",
    env: "REPAIR_ENABLED",
    type: BOOL,
    fallback: true,
    doc: "Look for sidecar pods that started without redirection.",
  }),
  repairPods: option({
    env: "REPAIR_REPAIR_PODS",
    type: BOOL,
    fallback: false,
    doc: "Program the missing redirection into a broken pod; wins over deleting and labelling.",
  }),
  deletePods: option({
    flag: "repair-delete-pods",
    env: "REPAIR_DELETE_PODS",
    type: BOOL,
    fallback: false,
    doc: "Delete broken pods.",
  }),
  labelPods: option({
    flag: "repair-label-pods",
    env: "REPAIR_LABEL_PODS",
    type: BOOL,
    fallback: false,
    doc: "Label broken pods.",
  }),
  brokenPodLabelKey: option({
    flag: "repair-broken-pod-label-key",
    env: "REPAIR_BROKEN_POD_LABEL_KEY",
    type: labelKey({ orNone: false }),
    fallback: "cni.istio.io/uninitialized",
    doc: "Key of that label.",
  }),
  brokenPodLabelValue: option({
    flag: "repair-broken-pod-label-value",
    env: "REPAIR_BROKEN_POD_LABEL_VALUE",
    type: LABEL_VALUE,
    fallback: "true",
    doc: "Value of that label.",
  }),
  nodeName: option({
    flag: "repair-node-name",
    env: "REPAIR_NODE_NAME",
    type: OBJECT_NAME,
    fallback: "",
    fallbackText: "NODE_NAME",
    doc: "The node whose pods are looked at.",
  }),
  sidecarAnnotation: option({
    flag: "repair-sidecar-annotation",
    env: "REPAIR_SIDECAR_ANNOTATION",
    type: labelKey({ orNone: true }),
    fallback: "sidecar.istio.io/status",
    doc: "Annotation a pod must have to be looked at; an empty flag stands for any pod.",
  }),
  initContainerName: option({
    flag: "repair-init-container-name",
    env: "REPAIR_INIT_CONTAINER_NAME",
    type: OBJECT_NAME,
    fallback: "istio-validation",
    doc: "Init container whose failure tells that redirection is missing; an empty flag stands for any.",
  }),
  initContainerTerminationMessage: option({
    flag: "repair-init-container-termination-message",
    env: "REPAIR_INIT_CONTAINER_TERMINATION_MESSAGE",
    type: TEXT,
    fallback: "",
    fallbackText: "any",
    doc: "Its termination message, compared as a whole with blanks trimmed.",
  }),
  initContainerExitCode: option({
    flag: "repair-init-container-exit-code",
    env: "REPAIR_INIT_CONTAINER_EXIT_CODE",
    type: integer(-2_147_483_648, 2_147_483_647),
    fallback: 126,
    doc: "Its exit code; 0 stands for any.",
  }),
  labelSelectors: option({
    flag: "repair-label-selectors",
    env: "REPAIR_LABEL_SELECTORS",
    type: repairSelector("labels"),
    fallback: "",
    doc: "Label selector a pod must match to be looked at.",
  }),
  fieldSelectors: option({
    flag: "repair-field-selectors",
    env: "REPAIR_FIELD_SELECTORS",
    type: repairSelector("fields"),
    fallback: "",
    doc: "Field selector a pod must match to be looked at.",
  }),
} as const;
