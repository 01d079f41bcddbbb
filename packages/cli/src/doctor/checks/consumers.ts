import { keyOf } from "@elasti/api";
import { checkService } from "@elasti/operator";
import type { Finding } from "../finding.ts";
import type { Check } from "../snapshot.ts";

/** Marks of who leads clients to a Service by other ways than its slices. */
const marks: readonly { key: RegExp; value: RegExp; who: string; mend: string }[] = [
  {
    key: /^service\.beta\.kubernetes\.io\/aws-load-balancer-(nlb-)?target-type$/,
    value: /^(nlb-)?ip$/,
    who: "the AWS load balancer controller (targets by IP) looks only at pods, and has no target while the service sleeps",
    mend: "set its target type to instance",
  },
  {
    key: /^cloud\.google\.com\/neg$/,
    value: /./,
    who: "container-native load balancing of GKE (NEG) looks up pods, and not the resolvers of another namespace",
    mend: 'lead that load balancer to an ingress controller in the cluster, or set the annotation to {"ingress": false}',
  },
];

/** Each Service can be led to resolvers, and nobody who is known to ignore slices of others leads clients to it. */
export const checkConsumers: Check = (snapshot) => {
  const nodes = snapshot.nodes === undefined ? undefined : new Set(snapshot.nodes);
  const resolverNodes = new Set(
    snapshot.resolver.slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ nodeName }) => nodeName ?? [])),
  );
  return snapshot.elastiServices.flatMap(({ metadata: { namespace = "", deletionTimestamp }, spec }) => {
    if (deletionTimestamp !== undefined) return [];
    const object = `Service ${keyOf(namespace, spec.service)}`;
    const service = snapshot.services.find(
      ({ metadata }) => metadata.namespace === namespace && metadata.name === spec.service,
    );
    const findings: Finding[] = [];
    const checked = checkService({ name: spec.service, service, resolverNodes, nodes });
    if (!checked.ok) {
      const [message = "", mend = ""] = checked.message.split(/: (.*)/s);
      findings.push({ severity: "error", reason: checked.reason, object, message, mend });
    }
    for (const [name, value] of Object.entries(service?.metadata.annotations ?? {}))
      for (const { key, value: fits, who, mend } of marks)
        if (key.test(name) && fits.test(value) && !/"ingress"\s*:\s*false/.test(value))
          findings.push({ severity: "warning", reason: "IgnoresSlices", object, message: `${name}: ${who}`, mend });
    if (snapshot.namespaces.get(namespace)?.["istio.io/dataplane-mode"] === "ambient")
      findings.push({
        severity: "warning",
        reason: "IgnoresSlices",
        object,
        message: "its namespace is in Istio's ambient mesh, which leads to pods that it knows, and not to resolvers",
        mend: "take the namespace, or the pods of its clients, out of the ambient mesh",
      });
    return findings;
  });
};
