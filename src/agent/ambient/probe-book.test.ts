import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatIp, type IpAddress, parseIpAddress } from "../../core/address.ts";
import { createProbeBook, type ProbeSet } from "./probe-book.ts";

function ips(...texts: string[]): IpAddress[] {
  return texts.flatMap((text) => parseIpAddress(text) ?? []);
}

/** A set in memory; `failure` makes it unwritable. */
class FakeSet implements ProbeSet {
  readonly entries = new Map<string, readonly IpAddress[]>();
  failure: string | undefined;
  async put(podUid: string, addresses: readonly IpAddress[]): Promise<void> {
    if (this.failure !== undefined) throw new Error(this.failure);
    this.entries.set(podUid, addresses);
  }
  async remove(podUid: string): Promise<void> {
    if (this.failure !== undefined) throw new Error(this.failure);
    this.entries.delete(podUid);
  }
  uids = async () => new Set(this.entries.keys());
  listed = async (podUid: string) => this.entries.get(podUid) ?? [];
}

describe("createProbeBook()", () => {
  it("notes what was put, and not what failed", async () => {
    const set = new FakeSet();
    const book = createProbeBook(async () => set);
    await book.put("a", ips("10.0.0.1"));
    set.failure = "no room";
    await assert.rejects(book.put("b", ips("10.0.0.2")), /no room/);
    await assert.rejects(book.remove("a"), /no room/);
    assert.deepEqual(book.uids(), ["a"]);
    set.failure = undefined;
    await book.remove("a");
    assert.deepEqual(book.uids(), []);
  });

  it("gives an address that is used again to the pod that has it now", async () => {
    const book = createProbeBook(async () => new FakeSet());
    await book.put("old", ips("10.0.0.1", "fd00::1"));
    await book.put("new", ips("10.0.0.1"));
    assert.deepEqual(book.listed("old").map(formatIp), ["fd00::1"]);
    await book.put("new", ips("10.0.0.1", "fd00::1"));
    assert.deepEqual(book.uids(), ["new"]);
  });

  it("takes in what a predecessor left, and tells that there is something to compare", async () => {
    const set = new FakeSet();
    set.entries.set("left", ips("10.0.0.9"));
    const book = createProbeBook(async () => set);
    let told = 0;
    using _listener = book.subscribe(() => told++);
    await book.read();
    assert.deepEqual(book.uids(), ["left"]);
    assert.equal(told, 1);
  });

  it("says why there is no set", async () => {
    const book = createProbeBook(async () => ({ unavailable: "the node's network namespace is not to be seen" }));
    await assert.rejects(
      book.put("a", ips("10.0.0.1")),
      /Cannot exempt the kubelet's probes: the node's network namespace/,
    );
    await book.remove("a");
  });
});
