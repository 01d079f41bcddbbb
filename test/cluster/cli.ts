/** `npm run cluster -- up | down | status | logs | kubeconfig`: a whole Kubernetes on this machine, for people. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Which } from "./binaries.ts";
import { defaultName, down, kubectlOf, stateOf, up } from "./cluster.ts";
import { Places } from "./places.ts";
import { Missing } from "./requirements.ts";

const usage = `usage: npm run cluster -- <command> [--name ${defaultName}] [--version newest|oldest]
  up          a node with kubelet, containerd and kube-proxy, a control plane, and a second kube-proxy
  down        ends it and leaves nothing behind
  status      what runs, and the nodes and pods
  logs [NAME] the log of one of its programs, or their names
  kubeconfig  path of the administrator's kubeconfig; it works from within the node:
              nsenter --net=/run/netns/elasti-${defaultName}-1 kubectl --kubeconfig ... get pods -A`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: "string", default: defaultName }, version: { type: "string", default: "newest" } },
});
const [command, argument] = positionals;
const places = new Places(values.name);

async function main(): Promise<number> {
  switch (command) {
    case "up": {
      if (values.version !== "newest" && values.version !== "oldest")
        return wrong(`--version is newest or oldest, not ${values.version}`);
      const began = Date.now();
      const which: Which = values.version;
      const state = await up({ name: values.name, version: which, say: (line) => console.error(line) });
      console.log(
        `Kubernetes ${state.version} is up after ${((Date.now() - began) / 1000).toFixed(1)} s; kubeconfig: ${places.kubeconfig}`,
      );
      return 0;
    }
    case "down":
      await down(values.name);
      return 0;
    case "status": {
      const state = stateOf(values.name);
      if (state === undefined) return wrong("no cluster runs: npm run cluster -- up");
      console.log(`Kubernetes ${state.version}, processes under ${state.sandboxPid}, logs in ${places.logs}`);
      const kubectl = kubectlOf(places, state.binaries);
      console.log(await kubectl("get", "nodes", "-o", "wide"));
      console.log(await kubectl("get", "pods", "-A", "-o", "wide"));
      return 0;
    }
    case "logs": {
      const files = readdirSync(places.logs).filter((file) => file.endsWith(".log"));
      if (argument === undefined) {
        console.log(files.map((file) => file.slice(0, -4)).join("\n"));
        return 0;
      }
      if (!files.includes(`${argument}.log`)) return wrong(`no log of ${argument}; there are ${files.join(", ")}`);
      return spawnSync("cat", [`${places.logs}/${argument}.log`], { stdio: "inherit" }).status ?? 1;
    }
    case "kubeconfig":
      if (stateOf(values.name) === undefined) return wrong("no cluster runs: npm run cluster -- up");
      console.log(places.kubeconfig);
      return 0;
    default:
      return wrong(usage);
  }
}

function wrong(text: string): number {
  console.error(text);
  return 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Missing ? error.message : error);
  process.exitCode = 1;
}
