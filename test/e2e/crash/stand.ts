import { defaultPorts, SERVICE_NAME_LABEL } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import { type EndpointSlice, type Lease, type Pod, Reflector, resources, type Service } from "@elasti/kube";
import { patienceMs } from "../client.ts";
import { Stops } from "../stops.ts";
import { OPERATOR, type World, type WorldOptions } from "../world.ts";
import { CallNames } from "./calls.ts";
import { ClusterState } from "./cluster-state.ts";
import { PrometheusStandIn } from "./prometheus-stand-in.ts";
import { SessionProxy } from "./session-proxy.ts";

/** Service by which resolvers find the operator through the proxy. */
const sessionService = "elasti-operator-sessions";

export interface StandOptions {
  readonly startWorld: (options: WorldOptions) => Promise<World>;
  /** An address by which operator and resolvers reach the proxies of this process. */
  readonly host: string;
  readonly operatorEnv?: Readonly<Record<string, string>>;
  /**
   * Whether the next leader waits for the Lease to run out. Otherwise the test takes it away with the operator that it kills, and
   * calls may be stopped for as long as it takes until all are there.
   */
  readonly realLease: boolean;
}

/** Gives up no call and no Lease while calls are stopped. */
const patientOperator = {
  ELASTI_LEASE_DURATION: "60s",
  ELASTI_LEASE_RENEW_DEADLINE: "55s",
  ELASTI_KUBE_TIMEOUT: "50s",
  ELASTI_PROOF_TIMEOUT: "120s",
};

/** A world whose operator has all its ways out led through proxies of the test. */
export class Stand {
  readonly world: World;
  readonly stops: Stops;
  readonly names = new CallNames();
  readonly prometheus: PrometheusStandIn;
  readonly state: ClusterState;
  readonly #sessions: SessionProxy;
  readonly #operators: Reflector<Pod>;
  readonly #realLease: boolean;

  private constructor(parts: {
    world: World;
    stops: Stops;
    prometheus: PrometheusStandIn;
    state: ClusterState;
    sessions: SessionProxy;
    operators: Reflector<Pod>;
    realLease: boolean;
  }) {
    this.world = parts.world;
    this.stops = parts.stops;
    this.prometheus = parts.prometheus;
    this.state = parts.state;
    this.#sessions = parts.sessions;
    this.#operators = parts.operators;
    this.#realLease = parts.realLease;
  }

  static async start({ startWorld, host, operatorEnv = {}, realLease }: StandOptions): Promise<Stand> {
    const stops = new Stops();
    const prometheus = await PrometheusStandIn.start(stops, host);
    const world = await startWorld({
      operators: 1,
      resolvers: 2,
      prometheusUrl: prometheus.url,
      stops,
      operatorEnv: {
        // many calls are stopped at once, and must not be in the way of others
        ELASTI_KUBE_CONNECTIONS: "200",
        ELASTI_RECONCILE_CONCURRENCY: "200",
        ELASTI_SEAL_TIMEOUT: "60s",
        ...(realLease ? {} : patientOperator),
        ...operatorEnv,
      },
      resolverEnv: { ELASTI_OPERATOR_SERVICE: sessionService },
    });
    const operators = await followOperators(world);
    const sessions = await SessionProxy.start({ stops, host, upstream: () => addressOf(operators) });
    await publish(world, sessions.address);
    const state = await ClusterState.follow(world, "default");
    return new Stand({ world, stops, prometheus, state, sessions, operators, realLease });
  }

  /** The operator that leads now, as the Lease names it. */
  async holder(): Promise<string> {
    return (await this.world.get<Lease>(resources.leases, this.world.system, OPERATOR))?.spec.holderIdentity ?? "";
  }

  /** Ends the operator as kill -9 does. @returns resolves when another process leads */
  async kill(): Promise<() => Promise<void>> {
    const dead = await this.holder();
    const pod = await this.#living(await this.world.leader());
    await this.world.kill(pod);
    // a real kubelet lets a container that ended often wait for minutes; its Deployment makes another pod at once
    if (this.world.real !== undefined)
      await this.world.client.delete(resources.pods, this.world.system, pod, { gracePeriodSeconds: 0 });
    if (!this.#realLease && dead !== "") await this.world.client.delete(resources.leases, this.world.system, OPERATOR);
    return async () => {
      await this.world.until<Lease, true>("another leader", resources.leases, this.world.system, OPERATOR, (lease) => {
        const holder = lease?.spec.holderIdentity ?? "";
        return holder !== "" && holder !== dead;
      });
    };
  }

  /** The leader, if it lives: a Lease names one that was killed until another takes it. Else the newest pod. */
  async #living(leader: string): Promise<string> {
    const look = () => {
      const pods = living(this.#operators);
      return (pods.find(({ metadata }) => metadata.name === leader) ?? pods[0])?.metadata.name;
    };
    return await this.#operators.store.until(look, AbortSignal.timeout(patienceMs));
  }

  async close(): Promise<void> {
    this.stops.close();
    await this.state.close();
    await this.#operators.close();
    await this.#sessions.close();
    await this.world.close();
    await this.prometheus.close();
  }
}

async function followOperators({ client, system }: World): Promise<Reflector<Pod>> {
  const reflector = new Reflector<Pod>({
    client,
    resource: resources.pods,
    namespace: system,
    labelSelector: `app=${OPERATOR}`,
    logger: silentLogger,
    clock: systemClock,
  });
  await reflector.start();
  return reflector;
}

/** Pods that are not on their way out, the newest first. */
function living(operators: Reflector<Pod>): Pod[] {
  return operators.store
    .list()
    .filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.podIP !== undefined)
    .sort((a, b) => ((a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? 1 : -1));
}

/** Where the newest operator listens. */
function addressOf(operators: Reflector<Pod>): { host: string; port: number } {
  const [newest] = living(operators);
  return { host: newest?.status?.podIP ?? "127.0.0.1", port: defaultPorts.elastiserver };
}

/** Resolvers watch the slices of the operator's Service; this one is ours. */
async function publish({ client, system }: World, { host, port }: { host: string; port: number }): Promise<void> {
  const metadata = { name: sessionService, namespace: system };
  const ports = [{ name: "http", port: defaultPorts.elastiserver, protocol: "TCP" as const }];
  await client.create<Service>(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: { clusterIP: "None", ports },
  });
  await client.create<EndpointSlice>(resources.endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...metadata, labels: { [SERVICE_NAME_LABEL]: sessionService } },
    addressType: "IPv4",
    endpoints: [{ addresses: [host], conditions: { ready: true } }],
    ports: [{ name: "http", port, protocol: "TCP" }],
  });
}
