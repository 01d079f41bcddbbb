import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { KubeObject } from "@elasti/kube";
import { parse } from "yaml";
import { documents, type Values, withValues } from "./chart.ts";
import { chartFolder, Helm } from "./helm.ts";
import { repository } from "./places.ts";

const helm = new Helm(process.env.ELASTI_TEST_HELM ?? "helm", process.env.ELASTI_TEST_KUBECONFIG);

const render = (values: Values, ...args: string[]): Promise<KubeObject[]> =>
  withValues([values], async (files) =>
    documents(await helm.run("template", "elasti", chartFolder, "--namespace", "elasti-system", ...files, ...args)),
  );

const named = (objects: readonly KubeObject[], kind: string, name: string): KubeObject => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(
    found !== undefined,
    `no ${kind} ${name} among ${objects.map((one) => `${one.kind} ${one.metadata.name}`)}`,
  );
  return found;
};

/** A Deployment as far as it is looked at here. */
interface Rendered extends KubeObject {
  spec: {
    replicas?: number;
    template: {
      metadata: { labels: Record<string, string>; annotations: Record<string, string> };
      spec: {
        terminationGracePeriodSeconds: number;
        priorityClassName?: string;
        containers: [{ image: string; env: { name: string; value?: string; valueFrom?: object }[] }];
      };
    };
  };
}

const environmentOf = (deployment: Rendered): Record<string, unknown> =>
  Object.fromEntries(
    deployment.spec.template.spec.containers[0].env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom]),
  );

describe("the chart", () => {
  it("passes helm lint, strictly", async () => {
    assert.match(await helm.run("lint", "--strict", chartFolder), /0 chart\(s\) failed/);
  });

  for (const file of globSync("examples/*.yaml", { cwd: chartFolder }).sort()) {
    it(`renders with ${file}`, async () => {
      const values = parse(readFileSync(join(chartFolder, file), "utf8")) as Values;
      const objects = await render(values);
      for (const component of ["operator", "resolver"]) named(objects, "Deployment", `elasti-${component}`);
    });
  }

  it("has two of each by default, ClusterRoles, a CRD that stays, and nothing that needs another API", async () => {
    const objects = await render({});
    for (const component of ["operator", "resolver"]) {
      const { spec } = named(objects, "Deployment", `elasti-${component}`) as Rendered;
      assert.equal(spec.replicas, 2);
      named(objects, "PodDisruptionBudget", `elasti-${component}`);
      named(objects, "ClusterRole", `elasti-${component}-elasti-system`);
    }
    const crd = named(objects, "CustomResourceDefinition", "elastiservices.elasti.truefoundry.com");
    assert.equal(crd.metadata.annotations?.["helm.sh/resource-policy"], "keep");
    const made = parse(readFileSync(join(repository, "deploy/crd/elastiservices.yaml"), "utf8")) as { spec: unknown };
    assert.deepEqual((crd as unknown as { spec: unknown }).spec, made.spec);
    const kinds = new Set(objects.map(({ kind }) => kind));
    for (const kind of ["PodMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "NetworkPolicy"])
      assert.ok(!kinds.has(kind), kind);
  });

  it("gives pods of the resolver as long to end as the longest hold, and more", async () => {
    const { spec } = named(
      await render({ resolver: { longestHoldSeconds: 1200, settleSeconds: 7 } }),
      "Deployment",
      "elasti-resolver",
    ) as Rendered;
    assert.equal(spec.template.spec.terminationGracePeriodSeconds, 1227);
    const env = environmentOf({ spec } as Rendered);
    assert.equal(env.ELASTI_DRAIN_SECONDS, "1200");
    assert.equal(env.ELASTI_SETTLE_TIME, "7s");
  });

  it("makes monitors and alerts where the cluster knows the kinds, or when asked", async () => {
    const found = (objects: readonly KubeObject[]) => objects.filter(({ kind }) => kind === "PodMonitor").length;
    assert.equal(found(await render({}, "--api-versions=monitoring.coreos.com/v1/PodMonitor")), 2);
    assert.equal(found(await render({ monitoring: { podMonitor: { enabled: true } } })), 2);
    const off = { monitoring: { podMonitor: { enabled: false } } };
    assert.equal(found(await render(off, "--api-versions=monitoring.coreos.com/v1/PodMonitor")), 0);
  });

  it("grants what the scale targets need, and no other kind", async () => {
    const objects = await render({ scaleTargets: [{ apiGroup: "example.com", resource: "fleets" }] });
    const { rules } = named(objects, "ClusterRole", "elasti-operator-elasti-system") as unknown as {
      rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
    };
    const of = (resource: string) => rules.filter(({ resources }) => resources.includes(resource));
    assert.deepEqual(of("fleets/scale"), [
      { apiGroups: ["example.com"], resources: ["fleets/scale"], verbs: ["get", "patch"] },
    ]);
    assert.deepEqual(of("deployments/scale"), []);
  });

  it("grants what policies need where they are on, and to patch workloads only the kinds that are named", async () => {
    const granted = async (values: Values): Promise<string[]> => {
      const role = named(await render(values), "ClusterRole", "elasti-operator-elasti-system") as unknown as {
        rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
      };
      return role.rules.flatMap(({ resources, verbs }) =>
        resources.flatMap((one) => verbs.map((verb) => `${verb} ${one}`)),
      );
    };
    const without = await granted({});
    assert.ok(!without.includes("patch deployments"));
    const scaling = { enabled: true, database: { existingSecret: "policies" } };
    const more = async (values: object): Promise<string[]> =>
      (await granted({ scaling: { ...scaling, ...values } })).filter((one) => !without.includes(one)).sort();
    const policies = ["create subjectaccessreviews", "get horizontalpodautoscalers", "patch horizontalpodautoscalers"];
    assert.deepEqual(await more({}), policies);
    assert.deepEqual(await more({ overridableWorkloads: ["rollouts"] }), [...policies, "patch rollouts"]);
  });

  it("makes no role for the whole cluster when it looks after some namespaces", async () => {
    const objects = await render({ watchNamespaces: ["one", "two"] });
    const kinds = new Set(objects.map(({ kind }) => kind));
    assert.ok(!kinds.has("ClusterRole") && !kinds.has("ClusterRoleBinding"), [...kinds].join(" "));
    for (const namespace of ["one", "two"])
      assert.ok(objects.some(({ kind, metadata }) => kind === "Role" && metadata.namespace === namespace));
    const operator = named(objects, "Deployment", "elasti-operator") as Rendered;
    assert.equal(environmentOf(operator).WATCH_NAMESPACES, "one,two");
    assert.equal(environmentOf(operator).ELASTI_TOKEN_CHECK, "keys");
  });

  it("takes settings by their names, as what they are", async () => {
    const objects = await render({
      operator: { settings: { pollingInterval: "10s", allowedServers: ["a:1", "b"], maxSessions: 1000000 - 990001 } },
    });
    const env = environmentOf(named(objects, "Deployment", "elasti-operator") as Rendered);
    assert.equal(env.POLLING_INTERVAL, "10s");
    assert.equal(env.ELASTI_PROMETHEUS_ALLOWED_SERVERS, "a:1,b");
    assert.equal(env.ELASTI_MAX_SESSIONS, "9999");
  });

  it("takes the values of KubeElasti that mean the same, and says which mean nothing", async () => {
    const values = {
      global: { kubernetesClusterDomain: "cluster.test", podLabels: { team: "a" }, enableMonitoring: true },
      elastiController: {
        replicas: 3,
        commonLabels: { owner: "b" },
        manager: {
          image: { repository: "tfy-images/elasti-operator", tag: "0.1.21" },
          env: { pollingInterval: 45, prometheusTriggerServerAddress: "http://prometheus:9090" },
          resources: { limits: { memory: "80Mi" } },
        },
      },
      elastiResolver: { replicas: 5, autoscaling: { enabled: true, minReplicas: 4, maxReplicas: 9 } },
    };
    const objects = await render(values);
    const operator = named(objects, "Deployment", "elasti-operator") as Rendered;
    assert.equal(operator.spec.replicas, 3);
    assert.equal(operator.spec.template.metadata.labels.team, "a");
    assert.equal(operator.metadata.labels?.owner, "b");
    assert.match(operator.spec.template.spec.containers[0].image, /^elasti-operator:/);
    const env = environmentOf(operator);
    assert.equal(env.POLLING_INTERVAL, "45s");
    assert.equal(env.PROMETHEUS_TRIGGER_SERVER_ADDRESS, "http://prometheus:9090");
    const resolver = named(objects, "Deployment", "elasti-resolver") as Rendered;
    assert.equal(environmentOf(resolver).KUBERNETES_CLUSTER_DOMAIN, "cluster.test");
    const hpa = named(objects, "HorizontalPodAutoscaler", "elasti-resolver") as unknown as { spec: object };
    assert.deepEqual(pickOf(hpa.spec, ["minReplicas", "maxReplicas"]), { minReplicas: 4, maxReplicas: 9 });
    assert.equal(objects.filter(({ kind }) => kind === "PodMonitor").length, 2);
    const dry = ["install", "elasti", chartFolder, "--dry-run=client", "--namespace", "elasti-system"];
    // the cluster of the tests does not know monitors, and another suite's release may have the definition
    const here = { ...values, monitoring: { podMonitor: { enabled: false } }, crd: { install: false }, global: {} };
    const notes = await withValues([here], (files) => helm.run(...dry, ...files));
    assert.match(notes, /were ignored: elastiController\.manager\.image, elastiController\.manager\.resources\./);
  });

  const wrong: [values: Values, message: RegExp][] = [
    [{ resolver: { replicas: "two" } }, /resolver\/replicas.*got string, want integer/s],
    [{ resolver: { longestHoldSeconds: 0 } }, /resolver\/longestHoldSeconds.*minimum: got 0, want 1/s],
    [{ operator: { settings: { pollingInterval: "thirty" } } }, /operator\/settings\/pollingInterval.*does not match/s],
    [{ operator: { settings: { poling: "1s" } } }, /operator\/settings.*'poling' not allowed/s],
    [{ scaleTargets: [{ resource: "deployments" }] }, /scaleTargets\/0.*missing property 'apiGroup'/s],
    [{ prometheus: { serverAddress: "prometheus:9090" } }, /prometheus\/serverAddress.*does not match/s],
    [{ image: { pullPolicy: "Sometimes" } }, /image\/pullPolicy.*must be one of/s],
    [{ replicas: 2 }, /'replicas' not allowed/],
    [{ scaling: { enabled: true, sqlite: { enabled: true } } }, /operator\/replicas.*maximum: got 2, want 1/s],
    [{ scaling: { enabled: true } }, /scaling\/database\/existingSecret.*minLength: got 0, want 1/s],
    [{ scaling: { overridableWorkloads: ["pods"] } }, /scaling\/overridableWorkloads\/0.*must be one of/s],
  ];
  for (const [values, message] of wrong) {
    it(`refuses ${JSON.stringify(values)} by the name of the value`, async () => {
      await assert.rejects(render(values), message);
    });
  }
});

const pickOf = (object: object, keys: readonly string[]): object =>
  Object.fromEntries(Object.entries(object).filter(([key]) => keys.includes(key)));
