import { defaultPorts, keyOf } from "@elasti/api";
import type { Service } from "@elasti/kube";
import type { Finding } from "../finding.ts";
import { blocking, lettingOut, type NetworkPolicy, type PolicySubject } from "../network-policy.ts";
import type { Check, ComponentState, DoctorSnapshot } from "../snapshot.ts";
import { liveSelector } from "./selector.ts";

/** No NetworkPolicy keeps clients from resolvers, resolvers from pods, or resolvers from the operator. */
export const checkPolicies: Check = (snapshot) => {
  const { system, policies, elastiServices, resolver, operator, services } = snapshot;
  if (system === undefined || policies.length === 0) return [];
  const resolvers = subjectOf(snapshot, system, resolver);
  const operators = subjectOf(snapshot, system, operator);
  const findings: Finding[] = [];
  if (resolvers !== undefined && operators !== undefined)
    findings.push(
      ...between(policies, resolvers, operators, defaultPorts.elastiserver, {
        object: `Service ${system}/${operator.name}`,
        message: "resolvers cannot tell the operator that requests wait, so nothing is woken",
      }),
    );
  for (const es of elastiServices) {
    const { namespace = "", name } = es.metadata;
    const service = services.find(
      ({ metadata }) => metadata.namespace === namespace && metadata.name === es.spec.service,
    );
    if (service === undefined || resolvers === undefined) continue;
    const labels = snapshot.podLabels.get(keyOf(namespace, name)) ?? liveSelector(service);
    const pods = { namespace, namespaceLabels: labelsOf(snapshot, namespace), labels };
    const object = `Service ${keyOf(namespace, service.metadata.name)}`;
    for (const port of targetPorts(service))
      findings.push(
        ...between(policies, resolvers, pods, port, {
          object,
          message: "resolvers cannot reach its pods: requests that were held are never answered",
        }),
      );
    // somebody in the namespace of the service, with labels of his own
    const client = { ...pods, labels: {} };
    const [route] = es.status?.routes ?? [];
    const resolverPort = route?.resolverPort ?? defaultPorts.routeFirst;
    const here = blocking(policies, "Ingress", resolvers, client, resolverPort);
    if (here.length > 0)
      findings.push({
        severity: "error",
        reason: "NetworkPolicyBlocks",
        object,
        message: `its clients cannot reach the resolvers, so requests fail while it sleeps: ${namesOf(here)} of ${system} let nobody of ${namespace} in`,
        mend: `let every client in to the resolvers on TCP ${resolverPorts}`,
      });
    // those that policies let out to its pods, and to nobody else
    const letOut = new Set(targetPorts(service).flatMap((port) => lettingOut(policies, pods, port)));
    for (const one of letOut) {
      const home = one.metadata.namespace ?? "";
      const sender = { namespace: home, namespaceLabels: labelsOf(snapshot, home), labels: labelsFitting(one) };
      if (blocking(policies, "Egress", sender, resolvers, resolverPort).length === 0) continue;
      findings.push({
        severity: "error",
        reason: "NetworkPolicyBlocks",
        object,
        message: `its clients cannot reach the resolvers, so requests fail while it sleeps: ${namesOf([one])} lets them out to its pods only`,
        mend: `add to it egress to namespaceSelector {kubernetes.io/metadata.name: ${system}}, podSelector ${selectorText(resolvers)}, TCP ${resolverPorts}`,
      });
    }
  }
  return findings;
};

const resolverPorts = `${defaultPorts.routeFirst} to ${defaultPorts.routeLast}`;

/** Labels of a pod that the policy selects, as far as they can be told. */
const labelsFitting = ({ spec }: NetworkPolicy): Record<string, string> => ({
  ...Object.fromEntries(
    (spec.podSelector?.matchExpressions ?? []).flatMap(({ key, operator, values: [first = ""] = [] }) =>
      operator === "In" || operator === "Exists" ? [[key, first]] : [],
    ),
  ),
  ...spec.podSelector?.matchLabels,
});

/** Without the label that the next rollout changes. */
const selectorText = ({ labels: { "pod-template-hash": _, ...labels } }: PolicySubject): string =>
  JSON.stringify(labels).replaceAll('"', "");

/** Whether what one side sends comes to the other, by the policies of both. */
function between(
  policies: readonly NetworkPolicy[],
  from: PolicySubject,
  to: PolicySubject,
  port: number | string,
  about: Pick<Finding, "object" | "message">,
): Finding[] {
  const into = blocking(policies, "Ingress", to, from, port);
  const outOf = blocking(policies, "Egress", from, to, port);
  const rule = (peer: PolicySubject): string =>
    `namespaceSelector {kubernetes.io/metadata.name: ${peer.namespace}}, podSelector ${selectorText(peer)}, port ${port}`;
  return [
    ...(into.length === 0
      ? []
      : [{ by: into, mend: `add a policy in ${to.namespace} with ingress from ${rule(from)}` }]),
    ...(outOf.length === 0
      ? []
      : [{ by: outOf, mend: `add a policy in ${from.namespace} with egress to ${rule(to)}` }]),
  ].map(({ by, mend }) => ({
    severity: "error",
    reason: "NetworkPolicyBlocks",
    object: about.object,
    message: `${about.message}: ${namesOf(by)} let nothing pass on port ${port}`,
    mend,
  }));
}

const namesOf = (policies: readonly NetworkPolicy[]): string =>
  `NetworkPolicy ${policies.map(({ metadata }) => keyOf(metadata.namespace ?? "", metadata.name)).join(", ")}`;

function labelsOf({ namespaces }: DoctorSnapshot, name: string): Record<string, string> {
  return { "kubernetes.io/metadata.name": name, ...namespaces.get(name) };
}

function subjectOf(snapshot: DoctorSnapshot, namespace: string, { pods, service }: ComponentState) {
  const labels = pods[0]?.metadata.labels ?? service?.spec.selector;
  if (labels === undefined) return undefined;
  const addresses = pods.flatMap(({ status }) => (status?.podIPs ?? []).map(({ ip }) => ip));
  return { namespace, namespaceLabels: labelsOf(snapshot, namespace), labels, addresses };
}

const targetPorts = ({ spec }: Service): (number | string)[] =>
  (spec.ports ?? [])
    .filter(({ protocol = "TCP" }) => protocol === "TCP")
    .map(({ port, targetPort }) => targetPort ?? port);
