import type { SettingsTable } from "../configuration-page.ts";
import { settingsValue } from "./program-settings.ts";
import { scalingValues } from "./scaling-values.ts";
import { type Group, type JsonSchema, type ValueTree, value } from "./value-tree.ts";

const dnsName = { pattern: "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", maxLength: 63 };
const anyObject: JsonSchema = { type: "object" };
const peers = "as `from` of a NetworkPolicy";

const securityContext = {
  runAsNonRoot: true,
  runAsUser: 65532,
  runAsGroup: 65532,
  seccompProfile: { type: "RuntimeDefault" },
};
const containerSecurityContext = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

const image = (name: string): Group =>
  value.group(`Image of the ${name}.`, {
    repository: value.text("Repository, without the registry.", `elasti-${name}`, { minLength: 1 }),
    tag: value.text("Tag; empty is the version of the chart."),
    digest: value.text("Digest, which counts more than the tag.", "", { pattern: "^(sha256:[0-9a-f]{64})?$" }),
  });

/** What both programs have. */
const program = (resources: object, table: SettingsTable): ValueTree => ({
  replicas: value.integer("Pods. With one there is a gap whenever it is replaced.", 2, 0, 1_000),
  settings: settingsValue("Settings by name, see docs/reference/chart.md; what is left out has its default.", table),
  env: value.list("More environment variables, as in a container.", {
    type: "object",
    required: ["name"],
    properties: { name: { type: "string", minLength: 1 } },
  }),
  resources: value.object("Requests and limits.", resources),
  labels: value.texts("More labels of the Deployment."),
  annotations: value.texts("More annotations of the Deployment."),
  podLabels: value.texts("More labels of the pods."),
  podAnnotations: value.texts("More annotations of the pods."),
  serviceLabels: value.texts("More labels of the Service."),
  serviceAnnotations: value.texts("More annotations of the Service."),
  serviceAccount: value.group("The account of the pods.", {
    create: value.flag("Make it.", true),
    name: value.text(`Its name; empty is the Deployment's.`),
    labels: value.texts("More labels."),
    annotations: value.texts("More annotations."),
  }),
  podSecurityContext: value.object("Of the pods: the restricted level of pod security.", securityContext),
  containerSecurityContext: value.object("Of the container.", containerSecurityContext),
  priorityClassName: value.text("Priority class of the pods; it must be there, as system-cluster-critical is."),
  nodeSelector: value.texts("Nodes for the pods."),
  tolerations: value.list("Tolerations of the pods.", anyObject),
  affinity: value.object("Affinity of the pods."),
  topologySpread: value.oneOf(
    "Spread over nodes and zones: as far as it goes, strictly, or not at all.",
    "ScheduleAnyway",
    ["ScheduleAnyway", "DoNotSchedule", "None"],
  ),
  podDisruptionBudget: value.group("What a drain of nodes may take away at once.", {
    enabled: value.flag("Make one.", true),
    maxUnavailable: value.integer("Pods that may be missing.", 1, 1, 1_000),
  }),
  command: value.list("Replaces the command of the image.", { type: "string" }),
  extraVolumes: value.list("More volumes of the pods.", anyObject),
  extraVolumeMounts: value.list("More mounts of the container.", anyObject),
});

/** Everything that the chart can be told. */
export function chartValues(settings: { operator: SettingsTable; resolver: SettingsTable }): ValueTree {
  return {
    nameOverride: value.text("Name of the chart in labels and names.", "", dnsName),
    fullnameOverride: value.text("Begin of all names; empty is made of release and chart.", "", dnsName),
    commonLabels: value.texts("Labels of everything."),
    commonAnnotations: value.texts("Annotations of everything."),
    clusterDomain: value.text("Domain of the cluster's Services.", "cluster.local", { minLength: 1 }),
    watchNamespaces: value.list(
      "Namespaces to look after, with Roles there and no ClusterRole at all; empty is all, with ClusterRoles.",
      { type: "string", pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", maxLength: 63 },
    ),
    scaleTargets: value.list(
      "Kinds that may be scaled. Elasti gets the right to read them and to patch their /scale, and no other.",
      {
        type: "object",
        additionalProperties: false,
        required: ["apiGroup", "resource"],
        properties: {
          apiGroup: { type: "string", description: "API group, empty for the core group." },
          resource: { type: "string", pattern: "^[a-z0-9]+$", description: "Plural in small letters." },
        },
      },
      [
        { apiGroup: "apps", resource: "deployments" },
        { apiGroup: "apps", resource: "statefulsets" },
        { apiGroup: "argoproj.io", resource: "rollouts" },
      ],
    ),
    autoscalers: value.group("Autoscalers that Elasti may know of.", {
      hpa: value.flag("Read HorizontalPodAutoscalers, so that a wake starts no fewer than they want.", true),
      keda: value.flag("Read and pause KEDA's ScaledObjects.", true),
    }),
    image: value.group("Where the images come from.", {
      registry: value.text("Registry, such as registry.example.com/team; empty leaves it to the nodes."),
      pullPolicy: value.oneOf("When nodes pull.", "IfNotPresent", ["Always", "IfNotPresent", "Never"]),
      pullSecrets: value.list("Secrets for the registry.", {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string", minLength: 1 } },
      }),
      operator: image("operator"),
      resolver: image("resolver"),
    }),
    prometheus: value.group("The Prometheus of triggers that name none.", {
      serverAddress: value.text(
        "Its address, such as http://prometheus.monitoring:9090. Without one such triggers say so, and mode Always works.",
        "",
        { pattern: "^$|^https?://[^/?#]+" },
      ),
      authorizationHeader: value.text("Authorization header for it; kept in a Secret that the chart makes."),
      existingSecret: value.text("A Secret of yours with that header, in place of the value."),
      existingSecretKey: value.text("Its key.", "authorization", { minLength: 1 }),
    }),
    crd: value.group("The CustomResourceDefinition of ElastiService. It stays when the chart is uninstalled.", {
      install: value.auto(
        "Install and upgrade it; auto leaves one alone that another release or nobody's owns. What is left alone must be there and not be older than the chart.",
      ),
    }),
    operator: value.group("The operator: controller, elastiserver, sleep loop.", {
      ...program({ requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "512Mi" } }, settings.operator),
      allowedAccounts: value.list(
        "Further accounts that may send notifications, as system:serviceaccount:namespace:name.",
        { type: "string", pattern: "^system:serviceaccount:[^:]+:[^:]+$" },
      ),
    }),
    resolver: value.group("The resolver: the proxy that holds requests.", {
      ...program({ requests: { cpu: "100m", memory: "128Mi" }, limits: { memory: "1Gi" } }, settings.resolver),
      longestHoldSeconds: value.integer(
        "Longest time that a request may be held, as spec.queue.timeoutSeconds of all ElastiServices. A resolver that is told to stop has so long to answer what it holds; the grace period of its pods follows.",
        600,
        1,
        3_600,
      ),
      settleSeconds: value.integer(
        "How long a resolver that is told to stop still accepts connections, until all nodes know that it goes.",
        5,
        0,
        600,
      ),
      autoscaling: value.group("A HorizontalPodAutoscaler for the resolvers.", {
        enabled: value.flag("Make one; resolver.replicas then counts no more.", false),
        minReplicas: value.integer("Fewest pods.", 2, 1, 1_000),
        maxReplicas: value.integer("Most pods.", 10, 1, 1_000),
        targetCPUUtilizationPercentage: value.integer("CPU in percent of the request; 0 leaves it out.", 70, 0, 1_000),
        targetHolds: value.integer(
          "Holds per pod, by the metric elasti_resolver_holds, which an adapter of custom metrics must offer; 0 leaves it out.",
          0,
          0,
          1_000_000,
        ),
      }),
    }),
    scaling: scalingValues,
    uninstall: value.group("What `helm uninstall` does before it deletes anything.", {
      restore: value.flag(
        "Wakes what sleeps, restores every Service and takes the finalizers off, by `elasti restore`. ElastiServices stay, and mean something again when Elasti is installed again.",
        true,
      ),
      readyTimeoutSeconds: value.integer(
        "Longest wait for the pods of a service that is woken for it; less than the --timeout of helm.",
        120,
        1,
        3_000,
      ),
      command: value.list("How `elasti` is started in the operator's image.", { type: "string" }, [
        "/usr/local/bin/elasti",
      ]),
    }),
    networkPolicy: value.group("NetworkPolicies for the pods of Elasti.", {
      enabled: value.flag("Make them.", false),
      clients: value.list(`Who may send requests to resolvers, ${peers}; empty is everybody.`, anyObject),
      metrics: value.list(`Who may read metrics, ${peers}; empty is every pod of the cluster.`, anyObject),
      policyApi: value.list(
        `Who else may reach the API of the policies (scaling.enabled), ${peers}. Who may read metrics may: it is the same port, and the API asks for a token.`,
        anyObject,
      ),
      egress: value.list(
        "Where the pods may connect to, as `egress` of a NetworkPolicy; empty is everywhere.",
        anyObject,
      ),
    }),
    monitoring: value.group("What the Prometheus operator and Grafana read.", {
      podMonitor: value.group("PodMonitors of both programs.", {
        enabled: value.auto("true, false, or auto: where the cluster knows the kind."),
        interval: value.text("Time between two scrapes.", "15s", { pattern: "^[0-9]+(ms|s|m)$" }),
        labels: value.texts("Labels by which your Prometheus selects them."),
        annotations: value.texts("More annotations."),
      }),
      prometheusRule: value.group("A PrometheusRule with the alerts of files/alerts.yaml.", {
        enabled: value.auto("true, false, or auto: where the cluster knows the kind."),
        labels: value.texts("Labels by which your Prometheus selects it."),
      }),
      dashboard: value.group("A ConfigMap with the Grafana dashboard of files/dashboard.json.", {
        enabled: value.flag("Make it.", false),
        labels: {
          description: "Labels by which Grafana's sidecar selects it.",
          fallback: { grafana_dashboard: "1" },
          schema: { type: "object", additionalProperties: { type: "string" } },
        },
      }),
    }),
  };
}

/** Values of KubeElasti's chart, which the templates turn into the ones above. */
export const kubeElastiValues: JsonSchema = {
  elastiController: { type: "object", description: "As in KubeElasti's chart, see docs/compatibility.md." },
  elastiResolver: { type: "object", description: "As in KubeElasti's chart, see docs/compatibility.md." },
  telemetry: { type: "object", description: "Of KubeElasti's chart; nothing is sent anywhere here." },
  // Helm itself puts this one in
  global: { type: "object", description: "As in KubeElasti's chart, see docs/compatibility.md." },
};
