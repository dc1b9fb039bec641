import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseKubeletUser, mayBeKubelet, parseCmdline, parseRealUid } from "./kubelet-process.ts";

const found = (comm: string, cmdline: readonly string[], realUid: number | undefined = 0, pid = 10) => ({
  ...{ pid, comm, cmdline, realUid },
});

test("chooseKubeletUser() knows the kubelet by each name it goes by", () => {
  const cases: [comm: string, cmdline: string[], isFound: boolean][] = [
    ["kubelet", ["/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml"], true],
    ["kubelite", ["/snap/microk8s/1/kubelite", "--kubelet-args-file=x"], true],
    ["hyperkube", ["/hyperkube", "kubelet"], true],
    ["hyperkube", ["/hyperkube", "kube-proxy"], false],
    ["k3s", ["/usr/local/bin/k3s", "server"], true],
    ["k3s-server", ["/usr/local/bin/k3s server"], true],
    ["k3s-agent", [], true],
    ["kubelet", ["sleep", "1000"], false],
    ["bash", ["kubelet"], false],
  ];
  for (const [comm, cmdline, isFound] of cases) {
    assert.equal(chooseKubeletUser([found(comm, cmdline, 7)]).isFound, isFound, `${comm} ${cmdline.join(" ")}`);
  }
  assert.deepEqual(["kubelet", "k3s-server", "containerd"].map(mayBeKubelet), [true, true, false]);
});

test("where none is found uid 0 is taken, and that is said", () => {
  const user = chooseKubeletUser([{ pid: 3, comm: "kubelet", cmdline: ["kubelet"], realUid: undefined }]);
  assert.deepEqual([user.isFound, user.uid], [false, 0]);
  assert.match(user.message, /No process .* uid 0/);
});

test("who pretends to be a kubelet as another user does not take root's place, whatever its pid", () => {
  const pretender = found("kubelet", ["kubelet"], 1000, 5);
  assert.equal(chooseKubeletUser([pretender, found("kubelet", ["kubelet"], 0, 90)]).uid, 0);
  const alone = chooseKubeletUser([found("kubelet", ["kubelet"], 1001, 90), pretender]);
  assert.deepEqual(
    [alone.uid, alone.message],
    [1000, "Probes are taken to come from uid 1000, that of kubelet (pid 5)"],
  );
});

test("the real user id is the first of four, and arguments are separated by zeros", () => {
  assert.equal(parseRealUid("Name:\tUid:\t5\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\n"), 1000);
  assert.equal(parseRealUid("Name:\tx\n"), undefined);
  assert.deepEqual(parseCmdline("/usr/bin/kubelet\0--v=2\0"), ["/usr/bin/kubelet", "--v=2"]);
  assert.deepEqual(parseCmdline(""), []);
});
