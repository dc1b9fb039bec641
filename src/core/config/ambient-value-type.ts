/**
 * The kinds of value that only ambient mode has: the enablement selectors, and the addresses that probes of the host get.
 */

import { formatIp, type IpAddress, isIpv4Mapped, isLinkLocalUnicast, isLoopback, parseIpAddress } from "../address.ts";
import { SelectorError } from "../kube/label-selector.ts";
import {
  type EnablementSelectors,
  parseEnablementSelectors,
  renderEnablementSelectors,
} from "../policy/enablement-selectors.ts";
import { DOCUMENT, type ValueType } from "./value-type.ts";

/** Shown as JSON, whatever form it was written in. */
export const ENABLEMENT_SELECTORS: ValueType<EnablementSelectors> = {
  name: "selectors",
  accepts: DOCUMENT.accepts,
  parse: (text) => {
    const selectors = readSelectors(text);
    return selectors instanceof SelectorError ? undefined : selectors;
  },
  render: renderEnablementSelectors,
  caution: (text) => {
    const selectors = readSelectors(text);
    if (selectors === undefined || selectors instanceof SelectorError) return undefined;
    return selectors.warnings.length === 0 ? undefined : selectors.warnings.join("; ");
  },
  fault: (text) => {
    const error = readSelectors(text);
    return error instanceof SelectorError ? error : undefined;
  },
};

/** Undefined when it is no document at all. */
function readSelectors(text: string): EnablementSelectors | SelectorError | undefined {
  const document = DOCUMENT.parse(text);
  if (document === undefined) return undefined;
  try {
    return parseEnablementSelectors(document);
  } catch (error) {
    if (error instanceof SelectorError) return error;
    throw error;
  }
}

/**
 * A source address for probes: one that packets can be answered to. Link-local IPv6 needs an interface's name with it, so the
 * pod could not answer; link-local IPv4 is what upstream's default is.
 */
export function probeAddress(family: 4 | 6): ValueType<IpAddress> {
  return {
    name: `IPv${family}`,
    accepts: `a unicast IPv${family} address, no loopback${family === 6 ? " and no link-local one" : ""}`,
    parse: (text) => {
      const address = parseIpAddress(text);
      if (address?.family !== family || !isUnicast(address) || isLoopback(address)) return undefined;
      return family === 6 && (isLinkLocalUnicast(address) || isIpv4Mapped(address)) ? undefined : address;
    },
    render: formatIp,
  };
}

/** Neither the unspecified address, nor 0.0.0.0/8, multicast, or 240.0.0.0/4 with the broadcast address. */
function isUnicast({ family, bytes }: IpAddress): boolean {
  const first = bytes[0] ?? 0;
  if (family === 4) return first > 0 && first < 224;
  return first !== 0xff && bytes.some((byte) => byte !== 0);
}
