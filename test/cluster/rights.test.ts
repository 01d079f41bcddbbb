import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { Condition } from "@elasti/api";
import { type KubeObject, type Lease, type Resource, resources } from "@elasti/kube";
import { doctor } from "../../packages/cli/src/doctor/doctor.ts";
import { networkPolicies } from "../../packages/cli/src/doctor/network-policy.ts";
import { OPERATOR, startWorld, type World } from "../e2e/world.ts";
import { type Rule, rules } from "./elasti.ts";

const clusterRoles: Resource = {
  group: "rbac.authorization.k8s.io",
  version: "v1",
  plural: "clusterroles",
  kind: "ClusterRole",
  namespaced: false,
};

/** What an operator does that lacks a right, where authorization is real: nothing else suffers, and it goes on when it has it. */
describe("a right that the operator lacks", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 1 });
  });
  afterEach(() => allow(rules[OPERATOR]));
  after(() => world?.close());

  async function allow(all: readonly Rule[]): Promise<void> {
    await world.client.patch(clusterRoles, undefined, `${OPERATOR}-${world.system}`, "merge", { rules: all });
  }

  /** Takes verbs on one resource away. */
  const forbid = (resource: string, verbs: readonly string[]): Promise<void> =>
    allow(
      rules[OPERATOR].flatMap((rule) =>
        rule.resources.includes(resource)
          ? [
              { ...rule, resources: rule.resources.filter((one) => one !== resource) },
              { ...rule, resources: [resource], verbs: rule.verbs.filter((verb) => !verbs.includes(verb)) },
            ].filter(({ resources: some, verbs: rest }) => some.length > 0 && rest.length > 0)
          : [rule],
      ),
    );
  const isMissing = ({ reason, status }: Condition): boolean => reason === "PermissionMissing" && status === "False";

  it("is named while requests wait for it, and they are answered once it is granted", async () => {
    const web = await world.sleeper({ name: "asleep" });
    await forbid("deployments/scale", ["patch", "update"]);
    const asked = web.ask();
    const { message } = await web.condition("Ready", isMissing);
    assert.match(
      message,
      /^grant patch on deployments\/scale in API group "apps" to the operator: .* cannot patch resource/,
    );
    await allow(rules[OPERATOR]);
    assert.equal((await asked).status, 200);
    await web.reaches("Serving");
  });

  it("undoes a sleep that may not end at zero, answers every request, and sleeps when it may", async () => {
    const web = await world.sleeper({
      name: "awake",
      replicas: 1,
      spec: { cooldownPeriod: 600, routing: { graceSeconds: 0 } },
    });
    await forbid("deployments/scale", ["patch", "update"]);
    await world.client.patch(resources.elastiServices, web.namespace, web.name, "merge", {
      spec: { cooldownPeriod: 1 },
    });
    const { message } = await web.condition("PermissionMissing", ({ status }) => status === "True", 40_000);
    assert.match(message, /^grant patch on deployments\/scale in API group "apps"/);
    assert.equal((await web.ask()).status, 200);
    await web.reaches("Serving");
    assert.equal(await web.replicas(), 1);
    await allow(rules[OPERATOR]);
    await web.sleeps({ timeoutMs: 90_000 });
    assert.equal(
      (await web.es()).status?.conditions?.some(({ type }) => type === "PermissionMissing"),
      false,
    );
  });

  const around: [resource: string, verb: string, group: string][] = [
    ["services", "create", ""],
    ["endpointslices", "create", "discovery.k8s.io"],
    ["elastiservices", "patch", "elasti.truefoundry.com"],
  ];
  for (const [resource, verb, group] of around) {
    it(`to ${verb} ${resource} is named, other services are woken, and it is taken up once it is granted`, async () => {
      const other = await world.sleeper({ name: `other-${resource}` });
      await forbid(resource, [verb]);
      const made = world.sleeper({ name: `new-${resource}` });
      await world.until<
        { metadata: { name: string }; apiVersion: string; kind: string; status?: { conditions?: Condition[] } },
        true
      >("PermissionMissing", resources.elastiServices, "default", `new-${resource}`, (es) => {
        const message = es?.status?.conditions?.find(isMissing)?.message;
        return message?.startsWith(`grant ${verb} on ${resource} in API group "${group}" to the operator: `) === true;
      });
      assert.equal((await other.ask()).status, 200);
      await allow(rules[OPERATOR]);
      assert.equal((await (await made).ask()).status, 200);
    });
  }

  it("to renew its Lease keeps no service from being woken", async () => {
    const web = await world.sleeper({ name: "leaderless" });
    await forbid("leases", ["update", "patch", "create"]);
    const seen = async (): Promise<string> => {
      const { items } = await world.client.list<Lease>(resources.leases, { namespace: world.system });
      return items.find(({ metadata }) => metadata.name.includes("elasti"))?.spec?.renewTime ?? "";
    };
    const before = await seen();
    assert.equal((await web.ask()).status, 200);
    // nothing renews it any more
    assert.equal(await seen(), before);
    await allow(rules[OPERATOR]);
    await web.reaches("Serving", { timeoutMs: 30_000 });
  });

  it("to write status is needed to sleep, and not to wake", async () => {
    const web = await world.sleeper({ name: "statusless" });
    await forbid("elastiservices/status", ["update", "patch"]);
    assert.equal((await web.ask()).status, 200);
    await allow(rules[OPERATOR]);
    await web.reaches("Serving", { timeoutMs: 60_000 });
  });

  it("is found by the doctor, and so is a NetworkPolicy that lets no resolver in", async () => {
    await world.sleeper({ name: "denied" });
    const policy = { podSelector: {}, policyTypes: ["Ingress"] };
    const metadata = { name: "deny-all", namespace: "default" };
    const object = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec: policy };
    await world.client.create(networkPolicies, object as KubeObject);
    await forbid("services", ["create"]);
    const args = ["--kubeconfig", world.ground.kubeconfig, "--operator-namespace", world.system];
    let out = "";
    const place = {
      env: {},
      write: (text: string) => {
        out += text;
      },
      writeError: (text: string) => {
        out += text;
      },
      signal: new AbortController().signal,
    };
    const code = await doctor([...args, "--service", "denied"], place);
    await world.client.delete(networkPolicies, "default", "deny-all");
    assert.equal(code, 2, out);
    assert.match(
      out,
      /ServiceAccount \S+\/elasti-operator: PermissionMissing\n +it may not create services everywhere/,
    );
    assert.match(
      out,
      /Service default\/denied: NetworkPolicyBlocks\n.*NetworkPolicy default\/deny-all let nothing pass/,
    );
    assert.doesNotMatch(out, /NoLeader|Unreachable|NotRead/);
  });
});
