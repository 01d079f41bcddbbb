import type { ElastiService } from "@elasti/api";
import { type Clock, Lifecycle, type Logger, type Metrics } from "@elasti/core";
import { type KubeClient, Reflector, resources } from "@elasti/kube";
import { OperatorActivation } from "./activation.ts";
import { addressSet, type ResolverConfig } from "./config.ts";
import { Drain } from "./drain.ts";
import { pickOfTwo } from "./endpoints/pick.ts";
import { PodDirectory } from "./endpoints/pods.ts";
import { PodForwarder } from "./forward/forwarder.ts";
import { InternalServer } from "./internal-server.ts";
import { OperatorClient } from "./operator-client.ts";
import { OperatorEndpoints } from "./operator-endpoints.ts";
import { Resolver } from "./resolver.ts";
import { OperatorSessions } from "./session.ts";
import { TokenFile } from "./token-file.ts";
import { WarmOperators } from "./warm-operators.ts";

export interface ProcessDependencies {
  /** Closed by whoever made it, after the process. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Time that a close gets besides the drain. */
const CLOSE_MARGIN_MS = 10_000;

/**
 * A whole resolver. Starts from the inside out: what exists is known before a port is opened, and so every phase is known
 * before the first request. Closes in reverse, the drain first.
 */
export function createResolver(config: ResolverConfig, deps: ProcessDependencies): Lifecycle {
  const { client, clock, logger, metrics } = deps;
  const lifecycle = new Lifecycle(logger, {
    clock,
    closeTimeoutMs: config.settleMs + config.drainSeconds * 1_000 + CLOSE_MARGIN_MS,
  });
  const namespaces = config.watchNamespaces;
  const served = (object: ElastiService) =>
    namespaces.length === 0 || namespaces.includes(object.metadata.namespace ?? "");

  let opened = false;
  let draining = false;
  const notReady = (): string[] => {
    const reasons: string[] = [];
    if (draining) reasons.push("draining");
    if (!services.synced) reasons.push("ElastiServices are not known yet");
    if (!pods.synced) reasons.push("EndpointSlices are not known yet");
    if (!opened) reasons.push("ports are not open yet");
    // Another port that is taken concerns one service: the operator leaves this resolver out there.
    const taken = resolver.failedPorts.get(config.hostPort);
    if (taken !== undefined) reasons.push(`port ${config.hostPort}: ${taken}`);
    return reasons;
  };

  lifecycle.add(
    "internal server",
    new InternalServer({
      bindAddress: config.bindAddress,
      port: config.internalPort,
      metrics,
      notReady,
      heldOf: (forNamespace, service) => resolver.heldOf(forNamespace, service),
    }),
  );
  const forwarder = lifecycle.add("forwarder", new PodForwarder({ clock }));
  const pods = lifecycle.add("pods", new PodDirectory({ client, clock, logger, metrics, namespaces }));
  const endpoints = lifecycle.add(
    "operator endpoints",
    new OperatorEndpoints({
      client,
      clock,
      logger,
      metrics,
      namespace: config.podNamespace,
      service: config.operatorService,
      fallbackPort: config.operatorPort,
    }),
  );
  const tokens = new TokenFile(config.tokenFile, { clock, logger });
  const token = () => tokens.token();
  const notifier = lifecycle.add("operator client", new OperatorClient({ endpoints, clock, token }));
  lifecycle.add("warm operators", new WarmOperators({ operators: notifier, clock }));
  const activation = lifecycle.add(
    "activation",
    new OperatorActivation({
      notifier,
      onOperatorChange: (listener) => endpoints.onChange(listener),
      clock,
      logger,
    }),
  );
  const resolver = new Resolver({
    clock,
    logger,
    metrics,
    pick: pickOfTwo(),
    forwarder,
    activation,
    createPods: (forNamespace, service) => pods.source(forNamespace, service),
    observe: (object) => pods.observe(object),
    bindAddress: config.bindAddress,
    hostPort: config.hostPort,
    clusterDomain: config.clusterDomain,
    trustedProxies: addressSet(config.trustedProxies),
    maxHolds: config.maxHolds,
    maxConnections: config.maxConnections,
    maxParkedBytes: config.maxParkedBytes,
    keepAliveTimeoutMs: config.keepAliveMs,
    firstByteTimeoutMs: config.firstByteMs,
    headTimeoutMs: config.headMs,
  });
  const services = new Reflector<ElastiService>({
    client,
    clock,
    logger,
    metrics,
    namespaces,
    leaveOutForbidden: true,
    resource: resources.elastiServices,
  });
  services.store.on("change", ({ type, object }) => {
    if (!served(object)) return;
    if (type !== "deleted") resolver.upsert(object);
    else {
      resolver.remove(object);
      pods.forget(object);
    }
  });
  lifecycle.add("ElastiServices", services);
  lifecycle.add("data path", {
    start: async () => {
      await resolver.start();
      opened = true;
    },
    close: () => resolver.close(),
  });
  lifecycle.add(
    "sessions",
    new OperatorSessions({
      endpoints,
      view: resolver,
      identity: {
        resolver: config.podName,
        namespace: config.podNamespace,
        node: config.nodeName,
        addresses: [config.podIp],
      },
      token,
      clock,
      logger,
    }),
  );
  lifecycle.add(
    "drain",
    new Drain({
      clock,
      logger,
      path: resolver,
      onBegin: () => {
        draining = true;
      },
      settleMs: config.settleMs,
      limitMs: config.drainSeconds * 1_000,
    }),
  );
  return lifecycle;
}
