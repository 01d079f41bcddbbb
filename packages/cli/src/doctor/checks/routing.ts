import {
  type ElastiService,
  FINALIZER,
  keyOf,
  PARK_KEY,
  privateServiceName,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
  wantedRoutingMode,
} from "@elasti/api";
import { formatDuration } from "@elasti/core";
import type { EndpointSlice, Service } from "@elasti/kube";
import type { Finding } from "../finding.ts";
import type { Check, DoctorSnapshot } from "../snapshot.ts";
import { liveSelector } from "./selector.ts";

/** A phase between asleep and awake that lasts longer than this is stuck, in ms; the longest grace is an hour. */
const longestPassageMs = 600_000;

/** Park, slices and private Service are what the phase says. */
export const checkRouting: Check = (snapshot) => snapshot.elastiServices.flatMap((es) => of(es, snapshot));

function of(es: ElastiService, snapshot: DoctorSnapshot): Finding[] {
  const { services, slices, nowMs } = snapshot;
  const { namespace = "", deletionTimestamp } = es.metadata;
  const { phase, phaseTime, routes = [], routingMode } = es.status ?? {};
  const at = (name: string) =>
    services.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  const service = at(es.spec.service);
  // without a phase nobody has looked at it, and what is missing is a condition of its own
  if (service === undefined || phase === undefined || phase === "Degraded" || deletionTimestamp !== undefined)
    return [];
  const object = `Service ${keyOf(namespace, service.metadata.name)}`;
  const findings: Finding[] = [];
  const tell = (severity: Finding["severity"], reason: string, message: string, mend: string): void => {
    findings.push({ severity, reason, object, message, mend });
  };
  const wait = "an operator that leads mends it within seconds; if it stays so, look at its log";
  const own = slices.filter((slice) => isOf(slice, namespace, service.metadata.name));
  const ours = own.filter(({ metadata }) => metadata.labels?.[SLICE_MANAGED_BY_LABEL] === SLICE_MANAGER);
  const others = own.filter((slice) => !ours.includes(slice));
  const led = ours.flatMap(({ endpoints }) => endpoints ?? []);
  const ready = others
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false);
  const parked = service.spec.selector?.[PARK_KEY] !== undefined;
  const always = (routingMode ?? wantedRoutingMode(es.spec)) === "Always";

  if (phase === "Asleep" || phase === "Sealed") {
    if (led.length === 0)
      tell(
        "error",
        "NotLedToResolvers",
        `it is ${phase}, and no slice leads its clients to a resolver: requests are refused`,
        wait,
      );
  } else if (parked && led.length === 0) {
    tell(
      "error",
      "ParkedWithoutSlice",
      `its selector has ${PARK_KEY}, so it matches no pod, and no slice leads to a resolver: requests are refused`,
      `${wait}; with no operator: elasti restore`,
    );
  }
  if (phase === "Serving" && !always && parked)
    tell("warning", "ParkedWhileServing", "its selector has the park key though the service is awake", wait);
  if (phase === "Serving" && !always && ours.length > 0 && ready.length > 0)
    tell(
      "warning",
      "SliceWhileServing",
      "clients are led to resolvers beside the pods though the service is awake",
      wait,
    );

  const resolvers = new Set(
    snapshot.resolver.slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses)),
  );
  const strangers = led.flatMap(({ addresses }) => addresses).filter((address) => !resolvers.has(address));
  if (strangers.length > 0)
    tell(
      "error",
      "SliceListsTheGone",
      `its slice lists ${strangers.join(", ")}, which is no resolver (any more)`,
      wait,
    );
  const expected = new Set(routes.map(({ resolverPort }) => resolverPort));
  const foreign = ours
    .flatMap(({ ports }) => ports ?? [])
    .flatMap(({ port }) => (port === undefined || expected.has(port) ? [] : [port]));
  if (foreign.length > 0)
    tell(
      "error",
      "SliceOfOtherPorts",
      `its slice leads to port ${foreign.join(", ")}, which is not this service's: status.routes has ${[...expected].join(", ")}`,
      wait,
    );

  const privateOne = at(privateServiceName(service.metadata.name));
  // one that was put back has none, and needs none before an operator takes it up
  if (es.metadata.finalizers?.includes(FINALIZER)) findings.push(...checkPrivate(es, service, privateOne));
  const passing = phase === "Draining" || phase === "Sealed" || phase === "Waking";
  const forMs = phaseTime === undefined ? 0 : nowMs - Date.parse(phaseTime);
  const graceMs = (es.spec.routing?.graceSeconds ?? 0) * 1_000;
  if (passing && forMs > longestPassageMs + graceMs)
    tell(
      "warning",
      "Stuck",
      `it has been ${phase} for ${formatDuration(forMs)}`,
      "does an operator lead? The condition Ready and status.waking say what it waits for",
    );
  return findings;
}

function checkPrivate({ metadata }: ElastiService, service: Service, own: Service | undefined): Finding[] {
  const name = privateServiceName(service.metadata.name);
  const about = { severity: "error", object: `Service ${keyOf(metadata.namespace ?? "", name)}` } as const;
  const mend = "an operator that leads makes it anew; if it stays so, look at the condition Ready and at its log";
  if (own === undefined)
    return [
      {
        ...about,
        reason: "PrivateServiceMissing",
        message: "without it resolvers do not see the pods, and requests that are held are never answered",
        mend,
      },
    ];
  if (own.spec.clusterIP !== "None")
    return [
      {
        ...about,
        severity: "warning",
        reason: "PrivateServiceNotHeadless",
        message: "it has a cluster IP, as KubeElasti's have",
        mend: "Elasti makes it anew when it takes the service over",
      },
    ];
  if (sortedText(own.spec.selector ?? {}) !== sortedText(liveSelector(service)))
    return [
      {
        ...about,
        reason: "PrivateServiceDiffers",
        message: "its selector is not that of the public Service: resolvers see other pods than clients",
        mend,
      },
    ];
  return [];
}

const sortedText = (record: Record<string, string>): string => JSON.stringify(Object.entries(record).sort());

const isOf = ({ metadata }: EndpointSlice, namespace: string, service: string): boolean =>
  metadata.namespace === namespace && metadata.labels?.[SERVICE_NAME_LABEL] === service;
