// Not a test: a program in the agent's place, for agent-container.test.ts. Tells on port 8000 what it sees of its
// container, and ends with 3 when it is asked to.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { networkInterfaces } from "node:os";

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

function describe(): object {
  return {
    pid: process.pid,
    args: process.argv.slice(2),
    env: process.env,
    capabilities: /^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1],
    hostInit: readFileSync("/host/proc/1/comm", "utf8").trim(),
    hostBin: readdirSync("/host/opt/cni/bin"),
    hostConf: readdirSync("/host/etc/cni/net.d"),
    ownConf: readdirSync("/etc/cni"),
    runDir: existsSync("/var/run/istio-cni"),
    netnsDir: existsSync("/host/var/run/netns") ? readdirSync("/host/var/run/netns") : undefined,
    serviceAccount: Object.fromEntries(
      readdirSync(SERVICE_ACCOUNT).map((name) => [name, readFileSync(`${SERVICE_ACCOUNT}/${name}`, "utf8")]),
    ),
    interfaces: Object.keys(networkInterfaces()),
  };
}

createServer((_request, response) => response.end(JSON.stringify(describe()))).listen(8000);
process.on("SIGTERM", () => process.exit(3));
console.log("stand-in started");
