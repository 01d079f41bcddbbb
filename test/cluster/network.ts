import { writeFile } from "node:fs/promises";
import { addresses, type Places } from "./places.ts";
import { run, tryRun } from "./shell.ts";

/**
 * Two network namespaces joined by a pair of interfaces: the first is a whole node, with the control plane; the second has
 * a kube-proxy of its own and nothing else, for clients that see changes of Services late.
 */
export async function makeNetwork(places: Places): Promise<void> {
  for (const node of [1, 2] as const) {
    await run("ip", "netns", "add", places.netns(node));
    await inside(places, node, "ip", "link", "set", "lo", "up");
  }
  const [one, two] = [places.netns(1), places.netns(2)];
  await run("ip", "-n", one, "link", "add", "node", "type", "veth", "peer", "name", "node", "netns", two);
  for (const node of [1, 2] as const) {
    const netns = places.netns(node);
    await run("ip", "-n", netns, "addr", "add", `${addresses.node[node]}/${addresses.nodesBits}`, "dev", "node");
    await run("ip", "-n", netns, "link", "set", "node", "up");
    // or a ClusterIP is unreachable from the node itself: the address is translated only once there is a route
    await run("ip", "-n", netns, "route", "add", addresses.services, "dev", "lo", "src", addresses.node[node]);
    const settings = ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.node.rp_filter=0"];
    // else a pod's answer to another pod of its bridge passes by the translation back
    await inside(places, node, "sysctl", "-qw", ...settings, "net.bridge.bridge-nf-call-iptables=1");
  }
  await run("ip", "-n", two, "route", "add", addresses.pods, "via", addresses.node[1]);
}

/** Removes both namespaces; whatever runs in them must have ended. */
export async function removeNetwork(places: Places): Promise<void> {
  for (const node of [1, 2] as const) await tryRun("ip", "netns", "del", places.netns(node));
}

async function inside(places: Places, node: 1 | 2, program: string, ...args: string[]): Promise<void> {
  await run("nsenter", `--net=/run/netns/${places.netns(node)}`, program, ...args);
}

/** The pods' network as the container runtime reads it. */
export async function writePodNetwork(folder: string, data: string): Promise<void> {
  const network = {
    cniVersion: "0.4.0",
    name: "pods",
    plugins: [
      {
        type: "bridge",
        bridge: "pods0",
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir: `${data}/addresses`,
          ranges: [[{ subnet: addresses.podsOfNode1 }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
  await writeFile(`${folder}/10-pods.conflist`, JSON.stringify(network));
}
