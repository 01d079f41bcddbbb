import type { ProbeStatus, ProbeTarget } from "@elasti/api";
import type { Container, PodTemplate, Probe } from "@elasti/kube";

/** Sidecars that accept connections before the application does. */
const meshContainers = new Set(["istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"]);

/** Marks by which a mesh adds its sidecar when a pod is created, so that the template does not show it. */
const injectionMarks: readonly (readonly [key: string, values: readonly string[]])[] = [
  ["sidecar.istio.io/inject", ["true"]],
  ["istio-injection", ["enabled"]],
  ["linkerd.io/inject", ["enabled", "ingress"]],
  ["kuma.io/sidecar-injection", ["enabled", "true"]],
  ["consul.hashicorp.com/connect-inject", ["true"]],
];

/** Headers that are worth protecting: status may be read by more people than the workload. */
const secretHeaders = new Set(["authorization", "proxy-authorization", "cookie", "x-api-key"]);

type Marks = Readonly<Record<string, string>> | undefined;
const waitReady: ProbeStatus = { wait: "Ready" };

/**
 * How resolvers may find out that a pod can take requests, from its template. Whatever a resolver cannot check just as the
 * kubelet does leads to `Ready`: then only Kubernetes' word counts.
 * @param template undefined for targets whose template is not known
 * @param namespaceMarks labels and annotations of the namespace, where meshes are switched on too
 */
export function probeStatusOf(template: PodTemplate | undefined, namespaceMarks: readonly Marks[] = []): ProbeStatus {
  if (template === undefined) return waitReady;
  const { spec, metadata } = template;
  if ((spec.readinessGates ?? []).length > 0) return waitReady;
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  const containers = [...spec.containers, ...sidecars];
  const marks = [metadata?.labels, metadata?.annotations, ...namespaceMarks];
  if (containers.some(({ name }) => meshContainers.has(name)) || isInjected(marks)) return waitReady;

  const probed = containers.filter(({ readinessProbe, startupProbe }) => readinessProbe ?? startupProbe);
  const [container] = probed;
  if (container === undefined) return { wait: "Connect" };
  // a pod is Ready when all of its containers are; status has room for the probes of one
  if (probed.length > 1) return waitReady;
  return ofContainer(container);
}

function isInjected(marks: readonly Marks[]): boolean {
  // the pod's own word goes before its namespace's
  for (const [key, values] of injectionMarks) {
    const said = marks.map((mark) => mark?.[key]).find((value) => value !== undefined);
    if (said !== undefined && values.includes(said)) return true;
  }
  return false;
}

function ofContainer(container: Container): ProbeStatus {
  const { readinessProbe, startupProbe } = container;
  const readiness = readinessProbe === undefined ? undefined : checkOf(readinessProbe, container);
  const startup = startupProbe === undefined ? undefined : checkOf(startupProbe, container);
  if (readiness === null || startup === null) return waitReady;
  return {
    wait: "Probe",
    ...(readiness === undefined ? {} : { readiness }),
    ...(startup === undefined ? {} : { startup }),
  };
}

/** The check of a probe, or null when a resolver cannot do it. */
function checkOf(probe: Probe, container: Container): ProbeTarget | null {
  if ((probe.successThreshold ?? 1) > 1) return null;
  const timeoutSeconds = Math.max(1, probe.timeoutSeconds ?? 1);
  if (probe.httpGet !== undefined) {
    const { path, port, scheme, host, httpHeaders = [] } = probe.httpGet;
    const number = portNumber(port, container);
    const secret = httpHeaders.some(({ name }) => secretHeaders.has(name.toLowerCase()));
    if (
      given(host) ||
      number === undefined ||
      secret ||
      (scheme !== undefined && scheme !== "HTTP" && scheme !== "HTTPS")
    ) {
      return null;
    }
    return {
      type: "http",
      port: number,
      path: path === undefined || path === "" ? "/" : path.startsWith("/") ? path : `/${path}`,
      scheme: scheme ?? "HTTP",
      ...(httpHeaders.length === 0 ? {} : { headers: httpHeaders.map(({ name, value }) => ({ name, value })) }),
      timeoutSeconds,
    };
  }
  if (probe.tcpSocket !== undefined) {
    const number = portNumber(probe.tcpSocket.port, container);
    return given(probe.tcpSocket.host) || number === undefined ? null : { type: "tcp", port: number, timeoutSeconds };
  }
  if (probe.grpc !== undefined) {
    const { port, service } = probe.grpc;
    return { type: "grpc", port, ...(given(service) ? { service: service! } : {}), timeoutSeconds };
  }
  return null;
}

const given = (text: string | undefined): boolean => text !== undefined && text !== "";

/** A port by number or by the name that its container gives it. */
function portNumber(port: number | string, { ports = [] }: Container): number | undefined {
  const number =
    typeof port === "number" || /^\d+$/.test(port)
      ? Number(port)
      : ports.find(({ name }) => name === port)?.containerPort;
  return number !== undefined && number >= 1 && number <= 65_535 ? number : undefined;
}
