import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Deployment, type HorizontalPodAutoscaler, type Pod, resources, type ScaledObject } from "@elasti/kube";
import { type PostgresServer, startPostgres } from "@elasti/local";
import { RECORD } from "@elasti/scaling";
import { request } from "../e2e/client.ts";
import { Exporter, missingPrometheus } from "../e2e/exporter.ts";
import { hostAddress, OPERATOR, startWorld, type World } from "../e2e/world.ts";
import { createScaledObject, installScaledObjects, removeScaledObjects } from "../keda/definition.ts";
import { AuditLog } from "./audit-log.ts";
import { createNamespace, documents, fastValues, Release, restricted, withValues } from "./chart.ts";
import { CommandLine } from "./command-line.ts";
import { auditedNamespaces } from "./control-plane.ts";
import { createHpa } from "./create-hpa.ts";
import { compare, grantsOf } from "./granted.ts";
import { chartFolder } from "./helm.ts";
import { Places, repository } from "./places.ts";
import { PolicyClient, until } from "./policy-client.ts";
import { policyValues } from "./policy-values.ts";

const namespace = auditedNamespaces[3];
/** The one that the page speaks of. */
const shop = "shop";
const page = await readFile(join(repository, "docs", "policies.md"), "utf8");

/** The one block of a section that has this text. */
function block(section: string, text: string): string {
  const [, body = ""] = new RegExp(`^##+ ${section}\n(.*?)(?=^##+ )`, "ms").exec(page) ?? [];
  const found = [...body.matchAll(/^```\w*\n(.*?)^```$/gms)].flatMap(([, one = ""]) =>
    one.includes(text) ? [one] : [],
  );
  assert.equal(found.length, 1, `${section}: ${text}`);
  return found[0]!.replaceAll("elasti-system", namespace);
}

const ownToken = "token-of-this-installation";

interface Checks {
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly reason?: string }[];
}

/** The policy engine as somebody has it who installs the chart with a PostgreSQL and reads docs/policies.md. */
describe("policies of an installation by the chart", { skip: missingPrometheus }, () => {
  const audit = new AuditLog(join(new Places(process.env.ELASTI_TEST_NODE ?? "").logs, "audit.log"));
  let exporter: Exporter;
  let prometheus: Awaited<ReturnType<Exporter["prometheus"]>>;
  let postgres: PostgresServer;
  let commands: CommandLine;
  let release: Release;
  let world: World;
  /** As somebody who may do everything with policies. */
  let api: PolicyClient;

  before(async () => {
    commands = await CommandLine.open();
    exporter = await Exporter.start();
    exporter.set("held", 12);
    exporter.set("once", 0);
    prometheus = await exporter.prometheus({ settled: false });
    // it has an address, and is not there when Elasti comes
    postgres = await startPostgres({ host: hostAddress });
    await postgres.stop();
    const scaling = {
      prometheusUrl: prometheus.url,
      targetTypes: { worker: { executor: "scale", api_version: "apps/v1", kind: "Deployment" } },
      metrics: { jobs: { source: "sql", connection: "queue", query: "select 12" } },
      sqlConnections: { existingSecret: "more", existingSecretKey: "connections" },
      token: { existingSecret: "more", existingSecretKey: "token" },
    };
    const few = { resolver: { replicas: 1 }, operator: { replicas: 2 } };
    release = new Release({ namespace, values: [fastValues, policyValues, few, { scaling }] });
    await audit.read();
    world = await startWorld({
      installer: {
        namespace,
        install: async () => {
          await createNamespace(namespace, restricted);
          await commands.run(
            `kubectl -n ${namespace} create secret generic more --from-literal=token=${ownToken} \
               --from-literal=connections='${JSON.stringify({ queue: postgres.url() })}'`,
          );
          const script = block("Install", "helm upgrade").replace(/postgres:[^']*/, postgres.url());
          await release.withItsValues((args) =>
            commands.run(script.replace("deploy/helm/elasti", [chartFolder, ...args, "--wait"].join(" "))),
          );
        },
        uninstall: () => release.uninstall(),
      },
    });
    await installScaledObjects(world.client, "2.21.0");
    await createNamespace(shop);
    await commands.run(
      `kubectl create serviceaccount policies-admin
       kubectl create clusterrolebinding policies-admin --clusterrole=cluster-admin --serviceaccount=default:policies-admin`,
    );
    api = new PolicyClient(world, await tokenOf("default", "policies-admin"));
  });
  after(async () => {
    await commands?.ends(
      `kubectl delete --ignore-not-found clusterrolebinding/policies-admin serviceaccount/policies-admin hpa/bounded
       kubectl delete --ignore-not-found --wait=false namespace ${shop}`,
    );
    if (world !== undefined) await removeScaledObjects(world.client);
    await world?.close();
    await prometheus?.close();
    await exporter?.close();
    await postgres?.close();
    await commands?.close();
  });

  const load = (service: string) => ({ source: "prometheus", query: `sum(load{service="${service}"})` });
  const whenLoaded = (service: string, more: object = {}) => ({
    scale_up_rules: [{ name: "load", metric: load(service), operator: "gt", threshold: 10, scale_by: 1, ...more }],
  });
  /** A Deployment whose pods nobody starts. */
  const app = (name: string, replicas: number, where = "default") =>
    world.app({
      name,
      replicas,
      namespace: where,
      edit: ({ deployment }) => {
        Object.assign(deployment.spec.template.spec, { schedulingGates: [{ name: "elasti.test/never" }] });
      },
    });
  const replicasBecome = (name: string, wanted: number) =>
    world.until<Deployment, true>(`${wanted} replicas`, resources.deployments, "default", name, (object) =>
      object?.spec.replicas === wanted ? true : undefined,
    );
  const replicasOf = async (name: string) =>
    (await world.client.get<Deployment>(resources.deployments, "default", name)).spec.replicas;
  /** Both autoscalers have these bounds. @param ours they are a policy's */
  async function boundsBecome(min: number, max: number, ours: boolean): Promise<void> {
    const fits = (annotations: Record<string, string> | undefined) => (annotations?.[RECORD] !== undefined) === ours;
    const [hpas, scaledObjects] = [resources.horizontalPodAutoscalers, resources.scaledObjects];
    await world.until<HorizontalPodAutoscaler, boolean>(
      `bounds ${min} to ${max}`,
      ...([hpas, "default", "bounded"] as const),
      (hpa) => hpa?.spec.minReplicas === min && hpa.spec.maxReplicas === max && fits(hpa.metadata.annotations),
    );
    await world.until<ScaledObject, boolean>(
      `bounds ${min} to ${max}`,
      ...([scaledObjects, "default", "queue"] as const),
      (so) => so?.spec.minReplicaCount === min && so.spec.maxReplicaCount === max && fits(so.metadata.annotations),
    );
  }
  const checksOf = async ({ status }: Pod) => {
    const { status: code, text } = await request({ host: status?.podIP ?? "", port: 8013, path: "/readyz" });
    assert.equal(code, 200, text);
    return (JSON.parse(text) as Checks).checks;
  };
  /** What `/readyz` of the replicas says of their policies, once it fits. */
  async function pausesBecome(fits: (reasons: readonly string[]) => boolean): Promise<readonly string[]> {
    return await until(async () => {
      const all = (await Promise.all((await world.pods(OPERATOR)).map(checksOf))).flat();
      return all.flatMap(({ name, reason }) => (name === "policies" && reason !== undefined ? [reason] : []));
    }, fits);
  }
  const tokenOf = (where: string, account: string) =>
    commands.run(`kubectl -n ${where} create token ${account} --audience elasti-operator`);
  const doctor = () => commands.ends(`elasti doctor --operator-namespace ${namespace}`);

  it("are paused while their database is not there, which the operator says, being ready, and begin when it comes", async () => {
    const [reason = ""] = await pausesBecome((reasons) => reasons.length === 1);
    assert.match(reason, /^policies are not evaluated since \S+: the database cannot be used: .*ECONNREFUSED/);
    assert.ok(!reason.includes(postgres.password));
    const { said } = await doctor();
    assert.match(said, /WARNING Pod \S+: PoliciesPaused\n.*it leads, and policies are not evaluated since/);
    assert.doesNotMatch(said, /ERROR/);
    const answer = await api.ask("GET", "/policies");
    assert.deepEqual([answer.status, answer.headers["elasti-reason"]], [503, "ELASTI_POLICY_DATABASE"]);
    await postgres.start();
    await pausesBecome((reasons) => reasons.length === 0);
    assert.deepEqual((await api.call("GET", "/policies")).policies, []);
    assert.doesNotMatch((await doctor()).said, /PoliciesPaused/);
  });

  it("are applied by the commands of docs/policies.md, and by nobody who has no right to", async () => {
    await commands.run(`kubectl apply -f - <<'EOF'\n${block("Who may do what", "kind: Role\n")}EOF`);
    await app("orders", 1, shop);
    await mkdir(join(commands.folder, "policies"));
    await writeFile(join(commands.folder, "policies", "orders.yaml"), block("Policies as files", "name: orders"));
    const lines = block("Policies as files", "elasti policies diff")
      .split("\n")
      .filter((line) => line !== "");
    const [forward = "", ...rest] = lines;
    const forwarding = await commands.start(forward.replace(/ &$/, ""), /Forwarding from/);
    try {
      const exports = rest.filter((line) => line.startsWith("export "));
      const elasti = (line: string) => commands.ends([...exports, line].join("\n"));
      const shown: [line: string, code: number, said: RegExp][] = [
        ["diff -f policies/", 1, /^policy\/orders .*\n(.*\n)*\+ +scale_up_rules/m],
        ["apply -f policies/", 0, /^policy\/orders created$/m],
        ["get  ", 0, /^orders +workload +shop\/orders +on +1-20 +2 +0$/m],
        ["get -o yaml", 0, /^$/],
        ["history orders", 0, /^nothing was done$/m],
        ["delete orders", 0, /^policy\/orders deleted$/m],
      ];
      const written = rest.filter((line) => line.startsWith("elasti "));
      assert.equal(written.length, shown.length);
      for (const line of written) {
        const [, code, said] = shown.find(([start]) => line.startsWith(`elasti policies ${start}`))!;
        const ended = await elasti(line);
        assert.equal(ended.code, code, `${line}\n${ended.said}`);
        assert.match(ended.said, said, line);
      }
      // what was written is what apply takes, and who only exists may do nothing
      await elasti("elasti policies apply -f policies.yaml");
      assert.deepEqual(await elasti("elasti policies diff -f policies.yaml"), { code: 0, said: "" });
      assert.match(
        await commands.run(
          block("API", "TOKEN=")
            .replace(/^.*port-forward.*$/m, "")
            .replace("curl", "curl -sS"),
        ),
        /"total_count":1\b/,
      );
      await commands.run(`kubectl -n ${shop} create serviceaccount stranger`);
      const asStranger = exports.map((line) => line.replace("token deployer", "token stranger"));
      const refused: [line: string, said: RegExp][] = [
        ["apply -f policies.yaml", /stranger may not get scalingpolicies\S+ in namespace shop/],
        ["delete orders", /^there is no policy "orders"$/m],
        ["get orders", /^there is no policy "orders"$/m],
      ];
      for (const [line, wanted] of refused) {
        const { code, said } = await commands.ends([...asStranger, `elasti policies ${line}`].join("\n"));
        assert.equal(code, 2, said);
        assert.match(said, wanted);
      }
    } finally {
      await forwarding.stop();
    }
    const inPod = block("Policies as files", "exec -i");
    assert.match(await commands.run(inPod), /orders/);
    const deployer = new PolicyClient(world, await tokenOf(shop, "deployer"));
    const made = { name: "elsewhere", target_type: "workload", target_ref: { namespace: "default", name: "x" } };
    assert.equal((await deployer.ask("POST", "/policies", made)).status, 403);
    assert.equal((await deployer.ask("GET", "/policies?namespace=default")).status, 403);
  });

  it("scale by a rule on a real Prometheus once they may, and not by a dry run; history has it", async () => {
    await app("held", 1);
    const id = await api.policy("held", { enabled: false, ...whenLoaded("held", { duration_seconds: 1 }) });
    const { decision, would_scale } = await api.call("POST", `/policies/${id}/evaluate`, {});
    assert.equal((decision as { action: string }).action, "none", JSON.stringify(decision));
    assert.equal(would_scale, false, "it has to hold for a second first");
    const at = await api.policy("held-at-once", {
      ...{ target_ref: { namespace: "default", name: "held" }, enabled: false },
      ...whenLoaded("held"),
    });
    const dry = await api.call("POST", `/policies/${at}/evaluate`, {});
    assert.deepEqual([dry.outcome, dry.desired_replicas, dry.would_scale], ["dry_run", 2, true]);
    assert.equal(await replicasOf("held"), 1);
    // a type and a metric out of the values, as whoever has the token of the values
    const configured = await new PolicyClient(world, ownToken).policy("held-by-jobs", {
      ...{ target_type: "worker", target_ref: { namespace: "default", name: "held" }, enabled: false },
      scale_up_rules: [{ metric: "jobs", operator: "gt", threshold: 10, scale_by: 2 }],
    });
    const byJobs = await api.call("POST", `/policies/${configured}/evaluate`);
    assert.equal(byJobs.desired_replicas, 3, JSON.stringify(byJobs));
    await api.call("POST", `/policies/${id}/enable`);
    await replicasBecome("held", 2);
    const entries = await api.entries(id, "history", (all) => all.length > 0);
    assert.deepEqual(
      entries.map(({ outcome, new_replicas }) => [outcome, new_replicas]),
      [["executed", 2]],
    );
    // a workload that nothing else looks after: the operator was given the right
    const pin = { kind: "pin", replicas: 3, until: new Date(Date.now() + 600_000), reason: "a launch" };
    await api.call("PUT", "/targets/default/Deployment/held/override", pin);
    await replicasBecome("held", 3);
  });

  it("move the bounds of a real HPA and of a ScaledObject, beside overrides of both", async () => {
    await app("bounded", 2);
    await app("queue", 2);
    await createHpa(world.client, "bounded", { minReplicas: 2, maxReplicas: 4 });
    await createScaledObject(world.client, "queue", { minReplicaCount: 2, maxReplicaCount: 4 });
    await api.policy("bounded", { min_replicas: 3, max_replicas: 7 });
    await api.policy("queue", { target_type: "scaledobject", min_replicas: 3, max_replicas: 7 });
    await boundsBecome(3, 7, true);
    const wanted = { kind: "pause", until: new Date(Date.now() + 600_000), reason: "a look" };
    for (const path of ["HorizontalPodAutoscaler/bounded", "ScaledObject/queue"]) {
      const place = `/targets/default/${path}/override`;
      await api.call("PUT", place, wanted);
      assert.equal((await api.call("GET", place)).state, "active");
      await api.call("DELETE", place);
    }
  });

  it("wake an ElastiService by a window, read its traffic, and stand beside an override", async () => {
    const sleepy = await world.sleeper({ name: "sleepy", spec: { routing: { graceSeconds: 0 } } });
    const hours = (count: number) => new Date(Date.now() + count * 3_600_000).toISOString();
    const above = (metric: object) => ({ metric, operator: "gt", threshold: 1_000, scale_by: 1 });
    const id = await api.policy("sleepy", {
      target_type: "elastiservice",
      schedules: [{ name: "now", start: hours(-1), end: hours(1), min_replicas: 1 }],
      scale_up_rules: [
        { name: "busy", ...above({ source: "traffic", signal: "in_flight" }) },
        { name: "hot", ...above({ source: "resource", resource: "cpu" }) },
      ],
    });
    await sleepy.reaches("Serving");
    // one measurement stands for an interval
    const conditions = await until(
      async () => {
        const { decision } = await api.call("POST", `/policies/${id}/evaluate`);
        const { rules } = decision as { rules: { condition: { value?: number | null; unknown?: string } }[] };
        return rules.map(({ condition }) => condition.unknown ?? condition.value);
      },
      ([, hot]) => /metrics\.k8s\.io/.test(String(hot)),
    );
    assert.equal(conditions[0], 0);
    const place = "/targets/default/ElastiService/sleepy/override";
    await api.call("PUT", place, { kind: "at_least", replicas: 2, until: hours(1), reason: "a launch" });
    await replicasBecome("sleepy", 2);
  });

  it("go on when the leader is killed, and do once what is to be done", async () => {
    await app("once", 1);
    const id = await api.policy("once", whenLoaded("once"));
    await world.kill(await world.leader());
    exporter.set("once", 12);
    await replicasBecome("once", 2);
    // evaluated again, and held back by the cooldown of what was done
    await api.entries(id, "decisions", (all) => all.some(({ outcome }) => outcome === "held_back"));
    const entries = await api.entries(id, "history", (all) => all.length > 0);
    assert.deepEqual(
      entries.map(({ kind, outcome }) => [kind, outcome]),
      [["action", "executed"]],
    );
    assert.equal(await replicasOf("once"), 2);
  });

  it("give bounds back in a dry run of the engine, take them again after it, and give them back when Elasti goes", async (context) => {
    await release.upgrade({ scaling: { dryRun: true } });
    await boundsBecome(2, 4, false);
    await release.upgrade();
    await boundsBecome(3, 7, true);
    const objects = await release.objects();
    await release.uninstall();
    await boundsBecome(2, 4, false);

    // the hook has the roles of the operator, too
    const own = grantsOf(objects).filter(({ account }) => account === OPERATOR);
    const { scaling: _, ...without } = policyValues;
    const render = (args: string[]) =>
      release.helm.run("template", "elasti", chartFolder, "--namespace", namespace, ...args);
    const before = new Set(grantsOf(documents(await withValues([without], render))).map(({ what }) => what));
    const calls = await audit.read();
    const { refused } = compare(calls, own, namespace);
    const more = compare(
      calls,
      own.filter(({ what }) => !before.has(what)),
      namespace,
    );
    context.diagnostic(`beside what it may without policies: ${more.used.join(", ")}`);
    assert.deepEqual(refused, []);
    assert.deepEqual(more.unused, []);
    assert.equal(more.used.length, 5);
    const scales = calls.filter(
      ({ verb, resource, name, code }) =>
        verb === "patch" && resource === "deployments/scale" && name === "once" && code < 300,
    );
    assert.equal(scales.length, 1);
  });
});
