/** Something that an account of Elasti needs. */
export interface Need {
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly verbs: readonly string[];
  readonly purpose: string;
}

const look = ["list", "watch"];
const elasti = "elasti.truefoundry.com";
const discovery = "discovery.k8s.io";

/** In every namespace that is looked after. */
export const operatorNeeds: readonly Need[] = [
  { group: elasti, resource: "elastiservices", verbs: [...look, "get", "patch"], purpose: "it looks after them" },
  {
    group: elasti,
    resource: "elastiservices",
    subresource: "status",
    verbs: ["patch"],
    purpose: "phases are written there, and nothing goes on without",
  },
  {
    group: "",
    resource: "services",
    verbs: [...look, "create", "update", "patch", "delete"],
    purpose: "it leads clients to resolvers and makes private Services",
  },
  {
    group: discovery,
    resource: "endpointslices",
    verbs: [...look, "create", "update", "delete"],
    purpose: "it leads clients to resolvers",
  },
  { group: "", resource: "pods", verbs: look, purpose: "it says why a wake takes long" },
  { group: "", resource: "events", verbs: ["create", "patch"], purpose: "it records what it does" },
];

/** Of each kind of target. */
export const targetNeeds = (group: string, resource: string): readonly Need[] => [
  { group, resource, verbs: look, purpose: "it sees whether targets are up" },
  { group, resource, subresource: "scale", verbs: ["get", "patch"], purpose: "it wakes targets and lets them sleep" },
];

/** Where KEDA is installed. */
export const kedaNeeds: readonly Need[] = [
  {
    group: "keda.sh",
    resource: "scaledobjects",
    verbs: [...look, "get", "patch"],
    purpose: "it pauses KEDA while a target sleeps",
  },
];

/** For the whole cluster, where tokens are reviewed. */
export const tokenNeeds: readonly Need[] = [
  {
    group: "authentication.k8s.io",
    resource: "tokenreviews",
    verbs: ["create"],
    purpose: "it knows resolvers by their tokens",
  },
];

/** Where policies are on. @param some only some namespaces are looked after, and each is asked about by itself */
export const policyNeeds = (some: boolean): readonly Need[] => [
  {
    group: "authorization.k8s.io",
    resource: some ? "localsubjectaccessreviews" : "subjectaccessreviews",
    verbs: ["create"],
    purpose: "it asks what callers of the API of policies may do",
  },
];

/** In its own namespace. */
export const homeNeeds: readonly Need[] = [
  { group: "", resource: "configmaps", verbs: ["list", "create", "update"], purpose: "the port table is there" },
  {
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["get", "create", "update"],
    purpose: "replicas elect one that leads",
  },
];

export const resolverNeeds: readonly Need[] = [
  { group: elasti, resource: "elastiservices", verbs: look, purpose: "it learns which services there are" },
  { group: discovery, resource: "endpointslices", verbs: look, purpose: "it sees pods" },
];
