import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import {
  type Condition,
  defaultPorts,
  type ElastiService,
  PARK_KEY,
  type Phase,
  privateServiceName,
  resolverSliceName,
  SERVICE_NAME_LABEL,
} from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import { type Deployment, type EndpointSlice, type Pod, Reflector, resources, type Service } from "@elasti/kube";
import { WebSocket } from "ws";
import { type Answer, type Ask, patienceMs, request } from "./client.ts";
import type { World } from "./world.ts";

/** A sample app under an ElastiService of the same name. */
export class Sleeper {
  readonly world: World;
  readonly service: Service;
  readonly name: string;
  readonly namespace: string;

  constructor(world: World, service: Service) {
    this.world = world;
    this.service = service;
    this.name = service.metadata.name;
    this.namespace = service.metadata.namespace ?? "default";
  }

  get host(): string {
    return this.service.spec.clusterIP ?? "";
  }

  get port(): number {
    return this.service.spec.ports?.[0]?.port ?? 0;
  }

  /** One request by the Service's address, on a connection of its own. */
  ask(path = "/", options: Ask = {}): Promise<Answer> {
    return request({ host: this.host, port: this.port, path, ...options });
  }

  /** A connection that sends nothing. */
  async connectAndLeave(): Promise<void> {
    const socket = connect({ host: this.host, port: this.port });
    await once(socket, "connect");
    const closed = once(socket, "close");
    socket.end();
    await closed;
  }

  /** A WebSocket that is open. */
  async webSocket(): Promise<WebSocket> {
    const socket = new WebSocket(`ws://${this.host}:${this.port}/ws`);
    await once(socket, "open");
    return socket;
  }

  /** Resolves once some resolver holds requests of it, or none does. */
  async queued(wanted: boolean): Promise<void> {
    const { items } = await this.world.client.list<Pod>(resources.pods, {
      namespace: this.world.system,
      labelSelector: "app=elasti-resolver",
    });
    const path = `/queue-status?namespace=${this.namespace}&service=${this.name}`;
    for (;;) {
      const asked = items.map(({ status }) => request({ host: status?.podIP ?? "", port: 8013, path }));
      const held = (await Promise.all(asked)).some(({ text }) => JSON.parse(text).queueStatus === 1);
      if (held === wanted) return;
      await pause(20);
    }
  }

  /** Resolves once it is in the phase. @param options.after only a later epoch counts */
  reaches(
    phase: Phase,
    options: { after?: number; when?: (es: ElastiService) => boolean; timeoutMs?: number } = {},
  ): Promise<ElastiService> {
    const { after = -1, when = () => true, timeoutMs = patienceMs } = options;
    const look = (es: ElastiService | undefined) =>
      es?.status?.phase === phase && (es.status.epoch ?? 0) > after && when(es) ? es : undefined;
    return this.#until(`phase ${phase}`, look, timeoutMs);
  }

  /** Every phase from now until it is in this one, in order. */
  async phasesUntil(phase: Phase, timeoutMs = patienceMs): Promise<Phase[]> {
    const phases: Phase[] = [];
    await this.#until(
      `phase ${phase}`,
      (es) => {
        const now = es?.status?.phase;
        if (now !== undefined && phases.at(-1) !== now) phases.push(now);
        return now === phase ? true : undefined;
      },
      timeoutMs,
    );
    return phases;
  }

  /** Shows every state of the public Service until it is stopped. */
  async watchService(see: (service: Service) => void): Promise<Reflector<Service>> {
    const fieldSelector = `metadata.name=${this.name}`;
    const options = { client: this.world.client, namespace: this.namespace, logger: silentLogger, clock: systemClock };
    const reflector = new Reflector<Service>({ ...options, resource: resources.services, fieldSelector });
    reflector.store.on("change", ({ object }) => see(object));
    await reflector.start();
    return reflector;
  }

  /** Asleep, its pods gone, and nothing left to do. */
  sleeps(options: { after?: number; timeoutMs?: number } = {}): Promise<ElastiService> {
    return this.reaches("Asleep", { ...options, when: ({ status }) => status?.podsGone === true });
  }

  /** Resolves once its last wake was for this reason. It may fall asleep again before somebody sees it Serving. */
  async wokenBy(reason: string): Promise<void> {
    await this.#until(`woken by ${reason}`, (es) => es?.status?.lastWake?.reason === reason, patienceMs);
  }

  /** Resolves once a condition is as asked. */
  async condition(type: string, fits: (condition: Condition) => boolean, timeoutMs = patienceMs): Promise<Condition> {
    const find = (es: ElastiService | undefined) =>
      es?.status?.conditions?.find((one) => one.type === type && fits(one));
    return await this.#until(`condition ${type}`, find, timeoutMs);
  }

  es(): Promise<ElastiService> {
    return this.world.client.get(resources.elastiServices, this.namespace, this.name);
  }

  async epoch(): Promise<number> {
    return (await this.es()).status?.epoch ?? 0;
  }

  async phase(): Promise<Phase | undefined> {
    return (await this.es()).status?.phase;
  }

  deployment(): Promise<Deployment> {
    return this.world.client.get(resources.deployments, this.namespace, this.name);
  }

  async replicas(): Promise<number> {
    return (await this.deployment()).spec.replicas ?? 0;
  }

  async scaleByHand(replicas: number): Promise<void> {
    await this.world.client.patch(
      resources.deployments,
      this.namespace,
      this.name,
      "merge",
      { spec: { replicas } },
      { subresource: "scale" },
    );
  }

  async appPods(): Promise<Pod[]> {
    const options = { namespace: this.namespace, labelSelector: `app=${this.name}` };
    return (await this.world.client.list<Pod>(resources.pods, options)).items;
  }

  publicService(): Promise<Service> {
    return this.world.client.get(resources.services, this.namespace, this.name);
  }

  /** Slices of the public Service: ours, which leads to resolvers, and Kubernetes' own. */
  async slices(): Promise<{ ours: EndpointSlice | undefined; others: EndpointSlice[] }> {
    const labelSelector = `${SERVICE_NAME_LABEL}=${this.name}`;
    const options = { namespace: this.namespace, labelSelector };
    const { items } = await this.world.client.list<EndpointSlice>(resources.endpointSlices, options);
    const own = resolverSliceName(this.name);
    return {
      ours: items.find(({ metadata }) => metadata.name === own),
      others: items.filter(({ metadata }) => metadata.name !== own),
    };
  }

  /** Resolves when our slice is no more. */
  async unrouted(): Promise<void> {
    await this.world.until(
      "no slice of ours",
      resources.endpointSlices,
      this.namespace,
      resolverSliceName(this.name),
      (slice) => slice === undefined,
    );
  }

  /** Resolves when clients reach pods without a resolver. */
  async direct(): Promise<void> {
    await this.unrouted();
    // ports of resolvers begin at 10000
    await this.world.backends(
      this,
      (ports) => ports.length > 0 && ports.every((port) => port < defaultPorts.routeFirst),
    );
  }

  /** Resolves once the node leads new connections to resolvers alone, which without a park it does later than the slices say. */
  async held(): Promise<void> {
    await this.world.backends(
      this,
      (ports) => ports.length > 0 && ports.every((port) => port >= defaultPorts.routeFirst),
    );
  }

  /** Resolves when the selector carries the park key, or is the user's own. */
  async parked(wanted = true): Promise<void> {
    await this.world.until<Service, true>(
      wanted ? "a park" : "a clean selector",
      resources.services,
      this.namespace,
      this.name,
      (service) => service !== undefined && (service.spec.selector?.[PARK_KEY] !== undefined) === wanted,
    );
  }

  /** Nothing of Elasti is left: object, private Service, slice, park key, annotation. */
  async isRestored(): Promise<void> {
    const { world, namespace, name } = this;
    await world.until("deleted", resources.elastiServices, namespace, name, (es) => es === undefined);
    const service = await this.publicService();
    assert.deepEqual(service.spec.selector, this.service.spec.selector);
    assert.deepEqual(service.metadata.annotations ?? {}, this.service.metadata.annotations ?? {});
    assert.equal((await this.slices()).ours, undefined);
    assert.equal(await world.get(resources.services, namespace, privateServiceName(name)), undefined);
  }

  async delete(): Promise<void> {
    await this.world.client.delete(resources.elastiServices, this.namespace, this.name);
  }

  async #until<V>(what: string, look: (es: ElastiService | undefined) => V | undefined, timeoutMs: number): Promise<V> {
    return await this.world.until<ElastiService, V>(
      what,
      resources.elastiServices,
      this.namespace,
      this.name,
      look,
      timeoutMs,
    );
  }
}
