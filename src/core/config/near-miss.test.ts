import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findNearMiss } from "./near-miss.ts";

const KNOWN = ["MONITORING_PORT", "AMBIENT_IPV6", "NODE_NAME", "CNI_NET_DIR"];

describe("findNearMiss()", () => {
  it("finds a name with a letter too many, too few, exchanged or swapped", () => {
    assert.equal(findNearMiss("MONITORINGG_PORT", KNOWN), "MONITORING_PORT");
    assert.equal(findNearMiss("MONITORNG_PRT", KNOWN), "MONITORING_PORT");
    assert.equal(findNearMiss("XONITORING_PORT", KNOWN), "MONITORING_PORT");
    assert.equal(findNearMiss("MONITORING_POTR", KNOWN), "MONITORING_PORT");
    assert.equal(findNearMiss("CNI_NET_DIRS", KNOWN), "CNI_NET_DIR");
  });

  it("takes the nearest of two", () => {
    assert.equal(findNearMiss("PORT_NUMBERS", ["PORT_NUMBEXX", "PORT_NUMBER"]), "PORT_NUMBER");
  });

  it("finds nothing that differs in three letters, nor in two of a short name", () => {
    assert.equal(findNearMiss("XXXITORING_PORT", KNOWN), undefined);
    assert.equal(findNearMiss("MONITORING_XXXT", KNOWN), undefined);
    assert.equal(findNearMiss("NODE_NAXX", ["NODE_NAME"]), "NODE_NAME");
    assert.equal(findNearMiss("NET_DIXX", ["NET_DIRS"]), undefined);
  });
});
