import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ElastiService } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type Deployment,
  type EndpointSlice,
  type KubeObject,
  loadCluster,
  Reflector,
  type Resource,
  resources,
  reviewToken,
  type Service,
} from "@elasti/kube";
import { OPERATOR, RESOLVER } from "@elasti/local";
import { kubectlOf, stateOf } from "../cluster/cluster.ts";
import { addresses, Places } from "../cluster/places.ts";
import { ServiceTable } from "../cluster/service-table.ts";
import { Connection } from "./connection.ts";
import type { CyclesGround, Followers } from "./cycles-ground.ts";
import { RealHost } from "./real-host.ts";

/** The second node's kube-proxy is stopped for up to so long, and then runs for up to so long. */
const STOPPED_UP_TO_MS = 3_000;
const RUNNING_UP_TO_MS = 1_500;
/** A table tells nobody that it has changed. */
const LOOK_EVERY_MS = 200;
/** The pods' bridge: what a node sends to its own pods comes from there. */
const bridge = addresses.podsOfNode1.replace(/0\/\d+$/, "1");
const nodes = [1, 2] as const;

/** On the cluster that this process runs inside of. */
export async function realCycles(): Promise<CyclesGround> {
  const name = process.env.ELASTI_TEST_NODE ?? "";
  const places = new Places(name);
  const state = stateOf(name);
  if (state === undefined) throw new Error(`the cluster ${name} does not run`);
  const host = await RealHost.start({ operators: 0, resolvers: 2 });
  const { client, system, real } = host.world;
  const stop = new AbortController();
  const closers: (() => Promise<unknown>)[] = [];

  const tables = new Tables(places);
  closers.push(tables.run(stop.signal));
  const kubectl = kubectlOf(places, state.binaries);
  const token = await kubectl("create", "token", OPERATOR, "--namespace", system, "--duration", "24h");
  const api = await loadCluster({ kubeconfigPath: places.kubeconfig });
  const accounts = new Map<string, string>();

  async function reflect<T extends KubeObject>(resource: Resource, told: (object: T, gone: boolean) => void) {
    const reflector = new Reflector<T>({ client, resource, logger: silentLogger, clock: systemClock });
    reflector.store.on("change", ({ type, object }) => told(object, type === "deleted"));
    closers.push(() => reflector.close());
    await reflector.start();
  }

  /** A kube-proxy that is stopped follows no change until it goes on. */
  async function lag(): Promise<void> {
    while (!stop.signal.aborted) {
      const stopped = real?.pauseServiceProxy(2);
      await pause(Math.random() * STOPPED_UP_TO_MS, undefined, { signal: stop.signal }).catch(() => {});
      stopped?.continue();
      await pause(Math.random() * RUNNING_UP_TO_MS, undefined, { signal: stop.signal }).catch(() => {});
    }
  }

  let clients = 0;
  return {
    host,
    namespace: system,
    tables,
    operators: {
      cluster: { server: api.server, ca: api.ca, token: async () => token.trim() },
      address: addresses.node[1],
      async accountOf(asked) {
        const known = accounts.get(asked);
        if (known !== undefined) return known;
        const { username } = await reviewToken(client, asked, ["elasti-operator"]);
        if (username !== `system:serviceaccount:${system}:${RESOLVER}`) return undefined;
        accounts.set(asked, username);
        return username;
      },
    },
    async follow(followers: Followers) {
      await Promise.all([
        reflect<ElastiService & KubeObject>(resources.elastiServices, (es) => followers.elastiService(es)),
        reflect<Service>(resources.services, (service) => followers.service(service)),
        reflect<Deployment>(resources.deployments, (deployment) => followers.deployment(deployment)),
        reflect<EndpointSlice>(resources.endpointSlices, (slice, gone) => followers.slice(slice, gone)),
      ]);
    },
    leads: (node, service) =>
      host.world.backends({ namespace: "default", name: service }, (ports) => ports.length > 0, node === 1 ? 1 : 2),
    beginLag() {
      const lagging = lag();
      closers.push(() => lagging);
    },
    nextPlace() {
      clients += 1;
      const node = nodes[clients % 2]!;
      const relay = node === 1 ? {} : { relay: { host: addresses.node[2], port: addresses.relayPort } };
      return { node, address: addresses.node[node], open: (to, port) => Connection.open({ host: to, port, ...relay }) };
    },
    isNode: (address) => address === bridge || Object.values(addresses.node).some((own) => own === address),
    async saidOf(service) {
      const folder = join(places.logs, "pods");
      const files = (await readdir(folder, { recursive: true })).filter((file) =>
        file.startsWith(`${system}_${RESOLVER}`),
      );
      const texts = files
        .filter((file) => file.endsWith(".log"))
        .map(async (file) => {
          const lines = (await readFile(join(folder, file), "utf8")).split("\n");
          return lines.filter((line) => line.includes(`"${service}"`)).slice(-15);
        });
      return (await Promise.all(texts)).flat();
    },
    async close() {
      stop.abort();
      await Promise.all(closers.map((closer) => closer()));
      await host.close();
    },
  };
}

/** What the nodes' tables were when they were last looked at. */
class Tables {
  readonly nodeNames = nodes.map((node) => `node-${node}`);
  readonly #places: Places;
  readonly #known = new Map<number, ReadonlyMap<string, { ip: string; port: number }[]>>();

  constructor(places: Places) {
    this.#places = places;
  }

  backends(node: number, key: string): readonly { ip: string; port: number }[] {
    return this.#known.get(node)?.get(key) ?? [];
  }

  /** Looks again and again. @returns what waits for its end */
  run(signal: AbortSignal): () => Promise<unknown> {
    const loops = nodes.map(async (node) => {
      const table = new ServiceTable(this.#places, node);
      while (!signal.aborted) {
        this.#known.set(node, await table.all());
        await pause(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
      }
    });
    return () => Promise.all(loops);
  }
}
