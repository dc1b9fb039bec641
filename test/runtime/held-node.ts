// Not a test: a process that holds a node with a pod until it is killed, for enter.test.ts. Prints one JSON line.
import { createNode } from "../../testbed/node/create-node.ts";
import { enterNodeNamespaces } from "../../testbed/node/enter.ts";

const { initPid, cgroup } = enterNodeNamespaces();
const node = await createNode({ families: "v4" });
const pod = await node.runPod({ name: "held" });
console.log(JSON.stringify({ held: true, initPid, cgroup, pid: pod.id }));
setInterval(() => undefined, 60_000);
