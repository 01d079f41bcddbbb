import { defaultPorts, elastiServiceCrd, POLICIES_CHECK, VERSION } from "@elasti/api";
import { type Pod, type Resource, resources } from "@elasti/kube";
import type { Finding } from "../finding.ts";
import type { Check, ComponentState, DoctorSnapshot } from "../snapshot.ts";

/** A Lease that was not renewed for so long after its end is nobody's, however far the clocks are apart. In ms. */
const clockSkewMs = 60_000;
const crdName = elastiServiceCrd().metadata.name;
const object = `CustomResourceDefinition ${crdName}`;
const applyCrd =
  "kubectl apply --server-side --force-conflicts -f deploy/crd/elastiservices.yaml of the operator's version";

/** The CustomResourceDefinition is there, knows every field, and survives the uninstallation of whoever made it. */
export const checkDefinition: Check = ({ definition, elastiServices, unread }) => {
  if (definition === undefined && isUnread(unread, resources.customResourceDefinitions)) return [];
  if (definition === undefined)
    return [
      {
        severity: "error",
        reason: "CrdMissing",
        object,
        message: "the cluster knows no ElastiServices",
        mend: applyCrd,
      },
    ];
  const findings: Finding[] = [];
  const version = definition.spec.versions.find(({ name }) => name === VERSION);
  const expected = elastiServiceCrd() as unknown as typeof definition;
  const missing =
    version?.served !== true
      ? [`version ${VERSION}`]
      : [
          ...(version.subresources?.status === undefined ? ["subresource status"] : []),
          ...missingFields(expected.spec.versions[0]?.schema?.openAPIV3Schema, version.schema?.openAPIV3Schema),
        ];
  if (missing.length > 0) {
    const shown = missing.slice(0, 6).join(", ");
    const more = missing.length > 6 ? ` and ${missing.length - 6} more` : "";
    const message = `it is older than this version: it lacks ${shown}${more}, which the API server therefore drops`;
    findings.push({ severity: "error", reason: "CrdOutdated", object, message, mend: applyCrd });
  }
  const { annotations = {} } = definition.metadata;
  const release = annotations["meta.helm.sh/release-name"];
  if (release !== undefined && annotations["helm.sh/resource-policy"] !== "keep")
    findings.push({
      severity: "warning",
      reason: "CrdNotKept",
      object,
      message: `it belongs to the Helm release ${release}, whose uninstallation deletes it and with it all ${elastiServices.length} ElastiServices`,
      mend: `kubectl annotate crd ${crdName} helm.sh/resource-policy=keep`,
    });
  return findings;
};

/** Who may not look at something knows nothing of it. */
const isUnread = (unread: DoctorSnapshot["unread"], { plural }: Resource): boolean =>
  unread.some(({ what }) => what === plural);

interface Fields {
  readonly properties?: Readonly<Record<string, Fields>>;
  readonly items?: Fields;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
}

/** Fields that one schema has and the other would drop, the outermost of each only. */
function missingFields(wanted: Fields | undefined, there: Fields | undefined, path = ""): string[] {
  if (there?.["x-kubernetes-preserve-unknown-fields"] === true) return [];
  const nested = Object.entries(wanted?.properties ?? {}).flatMap(([name, field]) => {
    const own = path === "" ? name : `${path}.${name}`;
    const known = there?.properties?.[name];
    return known === undefined ? [own] : missingFields(field, known, own);
  });
  return wanted?.items === undefined ? nested : [...nested, ...missingFields(wanted.items, there?.items, `${path}[]`)];
}

/** Some operator leads, operators and resolvers are ready, and the resolvers have a Service by which they are found. */
export const checkPrograms: Check = (snapshot) => {
  const { system, operator, resolver } = snapshot;
  if (system === undefined)
    return [
      {
        severity: "error",
        reason: "NotInstalled",
        object: "Elasti",
        message: "no Lease, port table or Service of an operator was found in any namespace",
        mend: "install Elasti, or name its namespace by --operator-namespace; to put things back without it: elasti restore",
      },
    ];
  return [...checkLease(snapshot, system), ...checkComponent(operator, system), ...checkComponent(resolver, system)];
};

function checkLease({ lease, leaseName, nowMs, kubeElasti, unread }: DoctorSnapshot, system: string): Finding[] {
  if (lease === undefined && isUnread(unread, resources.leases)) return [];
  const about = { object: `Lease ${system}/${leaseName}`, severity: "error" } as const;
  const mend = `kubectl -n ${system} logs -l app=elasti-operator --tail=20 says why none leads`;
  const nobody =
    "no target falls asleep, no trigger is asked, and no routing is mended; requests still wake while an operator runs";
  const holder = lease?.spec.holderIdentity ?? "";
  if (lease === undefined || holder === "")
    return [{ ...about, reason: "NoLeader", message: `no operator leads: ${nobody}`, mend }];
  const renewedMs = Date.parse(lease.spec.renewTime ?? "");
  const endsMs = renewedMs + (lease.spec.leaseDurationSeconds ?? 15) * 1_000;
  if (Number.isFinite(endsMs) && nowMs > endsMs + clockSkewMs)
    return [
      {
        ...about,
        reason: "NoLeader",
        message: `${holder} has not renewed it since ${lease.spec.renewTime}: ${nobody}`,
        mend,
      },
    ];
  if (kubeElasti.length > 0)
    return [
      {
        severity: "warning",
        reason: "OtherOperator",
        object: `Deployment ${kubeElasti.join(", ")}`,
        message: "KubeElasti's operator runs, so Elasti takes up nothing and lets nothing fall asleep",
        mend: `kubectl scale deployment --replicas=0 -n ${kubeElasti[0]?.split("/")[0]} ${kubeElasti[0]?.split("/")[1]}; docs/migration.md has all steps`,
      },
    ];
  return [];
}

const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true;

function checkComponent(state: ComponentState, system: string): Finding[] {
  const { name, service, pods, slices, unreachable, failing } = state;
  const isResolver = name.includes("resolver");
  const object = `Service ${system}/${name}`;
  if (service === undefined) {
    const message = isResolver
      ? "without it the operator does not know the resolvers: nobody can be led to them, and nothing falls asleep"
      : "without it resolvers find no operator: what sleeps is not woken";
    const port = isResolver ? "8012 and 8013" : "8013";
    const mend = `make the Service, with a selector of the pods and the ports ${port}, or name another by ELASTI_${isResolver ? "RESOLVER" : "OPERATOR"}_SERVICE`;
    return [
      { severity: "error", reason: `${isResolver ? "Resolver" : "Operator"}ServiceMissing`, object, message, mend },
    ];
  }
  const ready = pods.filter(isReady);
  const findings: Finding[] = [];
  if (ready.length === 0) {
    const message = isResolver
      ? "no resolver is ready: requests to sleeping services are refused, and nothing falls asleep"
      : "no operator is ready: requests to sleeping services wait until one is";
    const mend = `kubectl -n ${system} describe pods; /readyz on port ${defaultPorts.elastiserver} of a pod says what it waits for`;
    return [{ severity: "error", reason: isResolver ? "NoResolver" : "NoOperator", object, message, mend }];
  }
  const listed = new Set(
    slices.flatMap(({ endpoints }) =>
      (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).flatMap(({ addresses }) => addresses),
    ),
  );
  const unlisted = ready.filter(({ status }) => !(status?.podIPs ?? []).some(({ ip }) => listed.has(ip)));
  if (unlisted.length > 0)
    findings.push({
      severity: "error",
      reason: "PodsNotPublished",
      object,
      message: `its slices do not list ${unlisted.map(({ metadata }) => metadata.name).join(", ")}, though ready`,
      mend: "compare the Service's selector with the labels of the pods",
    });
  for (const [pod, why] of unreachable)
    findings.push({
      severity: "error",
      reason: `${isResolver ? "Resolver" : "Operator"}Unreachable`,
      object: `Pod ${system}/${pod}`,
      message: `it is ready, and the API server cannot reach it on port ${defaultPorts.resolverInternal}: ${why}`,
      mend: "look at NetworkPolicies of its namespace, at the node's network and at hostPort conflicts; other nodes may not reach it either",
    });
  for (const [pod, checks] of failing)
    for (const { reason } of checks.filter(({ name: check }) => check === POLICIES_CHECK))
      findings.push({
        severity: "warning",
        reason: "PoliciesPaused",
        object: `Pod ${system}/${pod}`,
        message: `it leads, and ${reason}`,
        mend: "make the database reachable: its address, its Secret, NetworkPolicies, the rights of its user; nothing has to be restarted",
      });
  if (ready.length < 2)
    findings.push({
      severity: "warning",
      reason: "OneReplica",
      object,
      message: `one ${isResolver ? "resolver" : "operator"} is ready: while its pod moves, ${isResolver ? "requests to sleeping services fail" : "nothing is woken"}`,
      mend: "run two replicas",
    });
  return findings;
}
