import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type ElastiService, PARK_KEY, resolverSliceName } from "@elasti/api";
import {
  type EndpointSlice,
  type HorizontalPodAutoscaler,
  type KubeObject,
  type Resource,
  resources,
} from "@elasti/kube";
import { type PostgresServer, startPostgres } from "@elasti/local";
import { hostAddress, OPERATOR, RESOLVER, startWorld, type World } from "../e2e/world.ts";
import { AuditLog } from "./audit-log.ts";
import { createNamespace, fastValues, Release } from "./chart.ts";
import { CommandLine } from "./command-line.ts";
import { auditedNamespaces } from "./control-plane.ts";
import { createHpa } from "./create-hpa.ts";
import { compare, grantsOf } from "./granted.ts";
import { Places, repository } from "./places.ts";
import { PolicyClient } from "./policy-client.ts";
import { databaseSecret, policyValues } from "./policy-values.ts";

const [, namespace] = auditedNamespaces;
const teams = ["team-a", "team-b"] as const;
const rbac = (plural: string, kind: string): Resource => ({
  group: "rbac.authorization.k8s.io",
  version: "v1",
  plural,
  kind,
  namespaced: false,
});
const networkPolicies: Resource = {
  group: "networking.k8s.io",
  version: "v1",
  plural: "networkpolicies",
  kind: "NetworkPolicy",
  namespaced: true,
};

/** An installation for two namespaces, with no right beyond them. */
describe("a release of the chart for some namespaces", () => {
  const audit = new AuditLog(join(new Places(process.env.ELASTI_TEST_NODE ?? "").logs, "audit.log"));
  let release: Release;
  let commands: CommandLine;
  let postgres: PostgresServer;
  let world: World;

  before(async () => {
    await audit.read();
    commands = await CommandLine.open();
    postgres = await startPostgres({ host: hostAddress });
    const scaling = { ...policyValues.scaling, overridableWorkloads: [] };
    release = new Release({
      namespace,
      values: { ...fastValues, watchNamespaces: teams, networkPolicy: { enabled: true }, scaling },
      secrets: { [databaseSecret]: { url: postgres.url() } },
    });
    world = await startWorld({
      installer: {
        namespace,
        install: async () => {
          for (const name of teams) await createNamespace(name);
          await release.install();
        },
        uninstall: () => release.uninstall(),
      },
    });
  });
  after(async () => {
    // before the namespaces go, and their rights with them
    await release?.uninstall();
    for (const name of teams) await world?.client.delete(resources.namespaces, undefined, name).catch(() => {});
    await world?.close();
    await postgres?.close();
    await commands?.close();
  });

  it("has no role for the whole cluster", async () => {
    for (const resource of [rbac("clusterroles", "ClusterRole"), rbac("clusterrolebindings", "ClusterRoleBinding")]) {
      const { items } = await world.client.list<KubeObject>(resource, {
        labelSelector: "app.kubernetes.io/part-of=elasti",
      });
      assert.deepEqual(
        items.map(({ metadata }) => metadata.name),
        [],
      );
    }
  });

  it("wakes services of its namespaces and lets them sleep, with nothing refused, and leaves those outside alone", async () => {
    const outside = await world.app({ name: "outside", replicas: 1 });
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "outside" };
    await world.elastiService("outside", { service: "outside", scaleTargetRef, cooldownPeriod: 0 });
    for (const team of teams) {
      const spec = { cooldownPeriod: 1, routing: { graceSeconds: 0 } };
      const web = await world.sleeper({ name: "web", namespace: team, spec });
      assert.equal((await web.ask()).status, 200);
      await web.sleeps({ after: await web.epoch() });
      assert.equal((await web.ask()).status, 200);
      await web.delete();
      await web.isRestored();
    }
    const left = await world.client.get<ElastiService>(resources.elastiServices, "default", "outside");
    assert.equal(left.status, undefined);
    assert.equal(left.metadata.finalizers, undefined);
    const now = await world.client.get<typeof outside>(resources.services, "default", "outside");
    assert.deepEqual(now.spec, outside.spec);
    assert.equal(now.spec.selector?.[PARK_KEY], undefined);
    const { refused } = compare(await audit.read(), [], namespace);
    assert.deepEqual(refused, []);
  });

  it("moves bounds by policies of its namespaces, for those who may there, and writes overrides of workloads where it may", async () => {
    const [team] = teams;
    await world.app({ name: "bounded", namespace: team, replicas: 1 });
    await createHpa(world.client, "bounded", { maxReplicas: 4 }, team);
    await commands.run(
      `kubectl -n ${team} create serviceaccount deployer
       kubectl -n ${team} create rolebinding deployer --clusterrole=cluster-admin --serviceaccount=${team}:deployer`,
    );
    const token = await commands.run(`kubectl -n ${team} create token deployer --audience elasti-operator`);
    const api = new PolicyClient(world, token);
    const bounds = { target_type: "workload", min_replicas: 2, max_replicas: 7 };
    const policy = (name: string, where: string) => ({ name, ...bounds, target_ref: { namespace: where, name } });
    for (const [where, status] of [
      [team, 201],
      [teams[1], 403],
      ["default", 403],
    ] as const) {
      const answer = await api.ask("POST", "/policies", policy("bounded", where));
      assert.equal(answer.status, status, `${where}: ${answer.text}`);
    }
    await world.until<HorizontalPodAutoscaler, boolean>(
      "bounds 2 to 7",
      resources.horizontalPodAutoscalers,
      team,
      "bounded",
      (hpa) => hpa?.spec.minReplicas === 2 && hpa.spec.maxReplicas === 7,
    );
    const override = { kind: "pause", until: new Date(Date.now() + 600_000), reason: "a look" };
    const place = `/targets/${team}/HorizontalPodAutoscaler/bounded/override`;
    for (const [method, body] of [["PUT", override], ["GET"]] as const)
      assert.equal((await api.ask(method, place, body)).status, 200, method);
    const calls = await audit.read();
    assert.deepEqual(compare(calls, [], namespace).refused, []);
    // beside what the operator may without policies
    const policies = grantsOf(await release.objects()).filter(
      ({ account, what, namespace: where }) =>
        account === OPERATOR && where === team && /^(get|patch) horizontalpodautoscalers|^create local/.test(what),
    );
    assert.deepEqual(compare(calls, policies, namespace).unused, []);
    assert.doesNotMatch(doctor(), /PermissionMissing/);

    // it was not given that right
    const refused = await api.ask("PUT", `/targets/${team}/Deployment/bounded/override`, override);
    assert.deepEqual(
      [refused.status, refused.headers["elasti-reason"]],
      [503, "ELASTI_POLICY_NOT_GRANTED"],
      refused.text,
    );
    assert.match(refused.text, /may not patch deployments\.apps in namespace team-a/);
  });

  it("is told by doctor that a namespace denies all connections, and by which policy it is mended", async () => {
    const [team] = teams;
    await world.sleeper({ name: "denied", namespace: team, spec: { routing: { graceSeconds: 0 } } });
    const policy = (name: string, spec: object): Promise<unknown> =>
      world.client.create(networkPolicies, {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name, namespace: team },
        spec,
      } as KubeObject);
    await policy("default-deny", { podSelector: {}, policyTypes: ["Ingress"] });
    assert.match(doctor(), /NetworkPolicyBlocks.*default-deny/s);
    // as the guide has it
    await policy("from-elasti", {
      podSelector: {},
      ingress: [
        {
          from: [
            {
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
              podSelector: {
                matchLabels: { "app.kubernetes.io/name": "elasti", "app.kubernetes.io/component": "resolver" },
              },
            },
          ],
        },
      ],
    });
    assert.doesNotMatch(doctor(), /NetworkPolicyBlocks/);
    // and the other way: clients that are let out to nobody but its pods
    const toPods = { to: [{ podSelector: { matchLabels: { app: "denied" } } }] };
    const toElasti = { to: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } }] };
    await policy("default-deny-out", { podSelector: {}, policyTypes: ["Egress"] });
    assert.doesNotMatch(doctor(), /NetworkPolicyBlocks/);
    await policy("to-denied", { podSelector: {}, policyTypes: ["Egress"], egress: [toPods] });
    assert.match(doctor(), /NetworkPolicyBlocks.*clients cannot reach the resolvers.*to-denied/s);
    await policy("to-elasti", { podSelector: {}, policyTypes: ["Egress"], egress: [toElasti] });
    assert.doesNotMatch(doctor(), /NetworkPolicyBlocks/);
  });

  it("does without a namespace that was deleted, and takes it up when it is made again", async () => {
    const [staying, again] = teams;
    await world.client.delete(resources.namespaces, undefined, again);
    await world.until("its end", resources.namespaces, undefined, again, (one) => one === undefined, 60_000);
    for (const component of [OPERATOR, RESOLVER]) await world.scale(component, 0, { timeoutMs: 60_000 });
    for (const component of [OPERATOR, RESOLVER]) await world.scale(component, 2, { timeoutMs: 60_000 });
    const web = await world.sleeper({ name: "alone", namespace: staying });
    assert.equal((await web.ask()).status, 200);
    // its Roles went with it, and helm makes them again
    await createNamespace(again);
    await release.upgrade();
    await world.app({ name: "again", namespace: again });
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "again" };
    await world.elastiService("again", { service: "again", scaleTargetRef }, again);
    // operators look every 30 s
    const isAsleep = (es: ElastiService | undefined) => es?.status?.phase === "Asleep";
    await world.until<ElastiService & KubeObject, boolean>(
      "asleep",
      resources.elastiServices,
      again,
      "again",
      isAsleep,
      90_000,
    );
    const routed = (slice: EndpointSlice | undefined) => (slice?.endpoints ?? []).length > 0;
    await world.until("resolvers", resources.endpointSlices, again, resolverSliceName("again"), routed, 60_000);
  });

  /** What `elasti doctor` says. */
  function doctor(): string {
    const program = join(repository, "packages", "cli", "bin", "elasti.mjs");
    const place = [`--kubeconfig=${process.env.ELASTI_TEST_KUBECONFIG}`, `--operator-namespace=${namespace}`];
    const scope = teams.map((name) => `--namespace=${name}`);
    const { stdout, stderr } = spawnSync(process.execPath, [program, "doctor", "--json", ...place, ...scope], {
      encoding: "utf8",
      timeout: 60_000,
    });
    return stdout + stderr;
  }
});
