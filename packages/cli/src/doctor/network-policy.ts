import { BlockList, isIPv6 } from "node:net";
import type { KubeObject } from "@elasti/kube";

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

interface Peer {
  podSelector?: LabelSelector;
  namespaceSelector?: LabelSelector;
  ipBlock?: { cidr: string; except?: string[] };
}

interface PolicyPort {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}

/** networking.k8s.io/v1 */
export interface NetworkPolicy extends KubeObject {
  spec: {
    podSelector?: LabelSelector;
    policyTypes?: string[];
    ingress?: { from?: Peer[]; ports?: PolicyPort[] }[];
    egress?: { to?: Peer[]; ports?: PolicyPort[] }[];
  };
}

export const networkPolicies = {
  group: "networking.k8s.io",
  version: "v1",
  plural: "networkpolicies",
  kind: "NetworkPolicy",
  namespaced: true,
} as const;

export interface PolicySubject {
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses?: readonly string[];
}

/** Whether labels fit a selector; one without conditions fits everything. */
export function fits(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case "In":
          return value !== undefined && values.includes(value);
        case "NotIn":
          return value === undefined || !values.includes(value);
        case "Exists":
          return value !== undefined;
        default:
          return value === undefined;
      }
    })
  );
}

/**
 * The policies that keep `other` from a pod, or a pod from it: those that select the pod in this direction, where no rule of any of
 * them lets the connection pass. Empty when it may pass.
 * @param port of the pod that is dialled; its name where only that is known
 */
export function blocking(
  policies: readonly NetworkPolicy[],
  direction: "Ingress" | "Egress",
  pod: PolicySubject,
  other: PolicySubject,
  port: number | string,
): NetworkPolicy[] {
  const selecting = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace && typesOf(spec).includes(direction) && fits(spec.podSelector, pod.labels),
  );
  const passes = selecting.some(({ metadata, spec }) =>
    (direction === "Ingress"
      ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }))
    ).some(
      ({ peers, ports }) =>
        (peers === undefined || peers.length === 0 || peers.some((peer) => isPeer(peer, metadata.namespace, other))) &&
        (ports === undefined || ports.length === 0 || ports.some((one) => isPort(one, port))),
    ),
  );
  return passes ? [] : selecting;
}

/** The policies by which pods may send to `other`: whoever they select is one of its clients. */
export function lettingOut(
  policies: readonly NetworkPolicy[],
  other: PolicySubject,
  port: number | string,
): NetworkPolicy[] {
  return policies.filter(({ metadata, spec }) =>
    (spec.egress ?? []).some(
      ({ to = [], ports = [] }) =>
        to.some((peer) => isPeer(peer, metadata.namespace, other)) &&
        (ports.length === 0 || ports.some((one) => isPort(one, port))),
    ),
  );
}

/** As the API server fills it in. */
const typesOf = ({ policyTypes, egress }: NetworkPolicy["spec"]): readonly string[] =>
  policyTypes ?? (egress === undefined ? ["Ingress"] : ["Ingress", "Egress"]);

function isPeer({ ipBlock, podSelector, namespaceSelector }: Peer, home: string | undefined, other: PolicySubject) {
  if (ipBlock !== undefined) return (other.addresses ?? []).some((address) => isInBlock(ipBlock, address));
  const there =
    namespaceSelector === undefined ? other.namespace === home : fits(namespaceSelector, other.namespaceLabels);
  return there && fits(podSelector, other.labels);
}

function isInBlock({ cidr, except = [] }: NonNullable<Peer["ipBlock"]>, address: string): boolean {
  const family = isIPv6(address) ? "ipv6" : "ipv4";
  const inside = (text: string): boolean => {
    const [network = "", bits] = text.split("/");
    if ((isIPv6(network) ? "ipv6" : "ipv4") !== family) return false;
    const list = new BlockList();
    list.addSubnet(network, Number(bits ?? (family === "ipv6" ? 128 : 32)), family);
    return list.check(address, family);
  };
  return inside(cidr) && !except.some(inside);
}

function isPort({ protocol = "TCP", port, endPort }: PolicyPort, wanted: number | string): boolean {
  if (protocol !== "TCP") return false;
  if (port === undefined || port === wanted) return true;
  // which number a name stands for is the pods' to say: it is taken for the right one
  if (typeof port !== typeof wanted) return true;
  return typeof port === "number" && typeof wanted === "number" && endPort !== undefined
    ? wanted >= port && wanted <= endPort
    : false;
}
