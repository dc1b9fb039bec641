/**
 * What objects of the Kubernetes API may be called (apimachinery pkg/util/validation/validation.go): the one answer for every
 * name that comes from options, annotations, CNI_ARGS or files.
 */

/** A namespace's name (IsDNS1123Label). */
export const NAMESPACE_NAME = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * The name of any other object, a node or a pod for instance, and the prefix of a label's key (IsDNS1123Subdomain). Only the
 * whole has a bound: a node may be called by one word of 64 letters, as long as a Linux host's name can be.
 */
export const OBJECT_NAME =
  /^(?=[-.a-z0-9]{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
