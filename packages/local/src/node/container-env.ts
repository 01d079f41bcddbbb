import type { Container, Pod } from "@elasti/kube";

/** Facts about where a pod runs that its environment may name. */
export interface PodPlace {
  podIP: string;
  hostIP: string;
  nodeName: string;
}

/**
 * The environment of a container: the base (PATH and the like), HOSTNAME, POD_IP, then what the pod declares, in order, with `$(NAME)`
 * replaced by what came before.
 */
export function containerEnv(
  pod: Pod,
  container: Container,
  place: PodPlace,
  base: Readonly<Record<string, string>>,
): Record<string, string> {
  const env: Record<string, string> = { ...base, HOSTNAME: pod.metadata.name, POD_IP: place.podIP };
  for (const { name, value, valueFrom } of container.env ?? []) {
    const path = valueFrom?.fieldRef?.fieldPath;
    env[name] = path === undefined ? expand(value ?? "", env) : fieldOf(pod, place, path);
  }
  return env;
}

/** `command` and `args` with `$(NAME)` replaced; empty when the pod names neither. */
export function containerArgv(container: Container, env: Readonly<Record<string, string>>): string[] {
  return [...(container.command ?? []), ...(container.args ?? [])].map((text) => expand(text, env));
}

/** Kubernetes' expansion: an unknown name stays as it is written, `$$(NAME)` means the text `$(NAME)`. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (match, name: string | undefined) =>
    match === "$$" ? "$" : (env[name ?? ""] ?? match),
  );
}

function fieldOf(pod: Pod, place: PodPlace, path: string): string {
  const { metadata } = pod;
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) return (keyed[1] === "labels" ? metadata.labels : metadata.annotations)?.[keyed[2]!] ?? "";
  switch (path) {
    case "metadata.name":
      return metadata.name;
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "spec.nodeName":
      return place.nodeName;
    case "status.podIP":
    case "status.podIPs":
      return place.podIP;
    case "status.hostIP":
      return place.hostIP;
    default:
      return "";
  }
}
