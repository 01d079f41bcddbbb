import { BlockList, isIP, isIPv6 } from "node:net";
import { defaultPorts } from "@elasti/api";
import { type ConfigOf, defineErrors, setting } from "@elasti/core";

const errors = defineErrors({
  ELASTI_BAD_PROXY_LIST: { status: 500, retryable: false, title: "List of trusted proxies cannot be used" },
});

/** Every setting of the resolver: its name, its default and its meaning. */
export const settings = {
  podName: setting.text({ env: "POD_NAME", description: "Name of this pod, as in the endpoints of its Service." }),
  podNamespace: setting.text({ env: "POD_NAMESPACE", description: "Namespace of this pod." }),
  podIp: setting.text({ env: "POD_IP", description: "Address of this pod." }),
  nodeName: setting.text({ env: "NODE_NAME", fallback: "", description: "Node of this pod." }),
  bindAddress: setting.text({
    env: "ELASTI_BIND_ADDRESS",
    fallback: "::",
    description: "Address that all ports listen on; `::` is IPv6 and IPv4.",
  }),
  internalPort: setting.integer({
    env: "ELASTI_INTERNAL_PORT",
    fallback: String(defaultPorts.resolverInternal),
    max: 65_535,
    description: "Port of metrics, health and queue status.",
  }),
  hostPort: setting.integer({
    env: "ELASTI_HOST_PORT",
    fallback: String(defaultPorts.resolverHost),
    max: 65_535,
    description: "Port of the way in by host name; 0 for none.",
  }),
  trustedProxies: setting.list({
    env: "ELASTI_TRUSTED_PROXIES",
    fallback: "",
    description: "Addresses and networks (CIDR) of proxies whose X-Forwarded-Host names the service on the host port.",
  }),
  clusterDomain: setting.text({
    env: "KUBERNETES_CLUSTER_DOMAIN",
    fallback: "cluster.local",
    description: "Domain of the cluster's Services.",
  }),
  watchNamespaces: setting.list({
    env: "WATCH_NAMESPACES",
    fallback: "",
    description: "Namespaces whose ElastiServices are served; empty for all.",
  }),
  operatorService: setting.text({
    env: "ELASTI_OPERATOR_SERVICE",
    fallback: "elasti-operator",
    description: "Service of the operator, in this pod's namespace.",
  }),
  operatorPort: setting.integer({
    env: "ELASTI_OPERATOR_PORT",
    fallback: String(defaultPorts.elastiserver),
    min: 1,
    max: 65_535,
    description: "Port of the operator's elastiserver, where its endpoints name none.",
  }),
  tokenFile: setting.text({
    env: "ELASTI_TOKEN_FILE",
    fallback: "/var/run/secrets/elasti/token",
    description: "File with the token that the operator knows this resolver by; read again when it changes.",
  }),
  kubeconfig: setting.text({
    env: "KUBECONFIG",
    fallback: "",
    description: "Kubeconfig file; empty for the pod's own service account.",
  }),
  maxHolds: setting.integer({
    env: "ELASTI_MAX_HOLDS",
    fallback: "20000",
    min: 1,
    max: 1_000_000,
    description: "Most requests held at once by this process, over all services.",
  }),
  maxConnections: setting.integer({
    env: "ELASTI_MAX_CONNECTIONS",
    fallback: "60000",
    min: 1,
    max: 1_000_000,
    description: "Most client connections at once; further ones are closed.",
  }),
  maxParkedBytes: setting.integer({
    env: "ELASTI_MAX_PARKED_BYTES",
    fallback: "134217728",
    description: "Most bytes read of held connections at once; past it only request heads are read.",
  }),
  keepAliveMs: setting.durationMs({
    env: "ELASTI_KEEP_ALIVE",
    fallback: "75s",
    minMs: 1_000,
    maxMs: 3_600_000,
    description: "Idle client connections are closed after this; longer than load balancers keep theirs.",
  }),
  firstByteMs: setting.durationMs({
    env: "ELASTI_FIRST_BYTE_TIMEOUT",
    fallback: "60s",
    minMs: 1_000,
    maxMs: 3_600_000,
    description: "Connections that say nothing are closed after this.",
  }),
  headMs: setting.durationMs({
    env: "ELASTI_HEAD_TIMEOUT",
    fallback: "30s",
    minMs: 1_000,
    maxMs: 3_600_000,
    description: "A request head must be whole within this.",
  }),
  settleMs: setting.durationMs({
    env: "ELASTI_SETTLE_TIME",
    fallback: "5s",
    maxMs: 600_000,
    description:
      "How long a resolver that is told to stop still accepts connections, until all nodes know that it goes.",
  }),
  drainSeconds: setting.integer({
    env: "ELASTI_DRAIN_SECONDS",
    fallback: "300",
    max: 86_400,
    description:
      "Longest time that a resolver that is told to stop waits for held and running requests and WebSockets.",
  }),
  logLevel: setting.oneOf({
    env: "ELASTI_LOG_LEVEL",
    fallback: "info",
    values: ["trace", "debug", "info", "warn", "error"],
    description: "Least level that is logged.",
  }),
};

export type ResolverConfig = ConfigOf<typeof settings>;

/**
 * The addresses and networks of a list as one set.
 * @throws ELASTI_BAD_PROXY_LIST naming the entry
 */
export function addressSet(entries: readonly string[]): BlockList {
  const set = new BlockList();
  for (const entry of entries) {
    const [address = "", prefix] = entry.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    try {
      if (isIP(address) === 0) throw new Error("not an IP address");
      if (prefix === undefined) set.addAddress(address, family);
      else set.addSubnet(address, Number(prefix), family);
    } catch (error) {
      throw errors.ELASTI_BAD_PROXY_LIST(`ELASTI_TRUSTED_PROXIES: "${entry}" is no address and no network`, {
        cause: error,
      });
    }
  }
  return set;
}
