import assert from "node:assert/strict";
import { silentLogger, systemClock } from "@elasti/core";
import {
  createKubeClient,
  EventRecorder,
  isConflict,
  type KubeEvent,
  type KubeObject,
  LeaderElector,
  type Lease,
  loadCluster,
  type Resource,
  resources,
  reviewAccess,
  reviewToken,
} from "@elasti/kube";
import { configMap, deployment } from "./objects.ts";
import { type Any, type Contract, on } from "./server.ts";

const serviceAccounts: Resource = {
  group: "",
  version: "v1",
  plural: "serviceaccounts",
  kind: "ServiceAccount",
  namespaced: true,
};
const rbac = (plural: string, kind: string): Resource => ({
  group: "rbac.authorization.k8s.io",
  version: "v1",
  plural,
  kind,
  namespaced: true,
});

/** An account of the test's namespace and a token for it. */
async function account({ client, namespace }: Contract, name: string, audiences: string[] = []): Promise<string> {
  await client.create(serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } });
  const { status } = await client.raw<Any>("POST", `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { audiences },
  });
  return String(status.token);
}

/** A client that is known by a token alone. */
async function clientOf(contract: Contract, token: string) {
  const { server, ca, skipTLSVerify } = await loadCluster({ kubeconfigPath: process.env.ELASTI_TEST_KUBECONFIG! });
  const client = createKubeClient({ cluster: { server, ca, skipTLSVerify, token: async () => token } });
  contract.cleanup(() => client.close());
  return client;
}

on(
  "both",
  "a late renewal does not bring back a Lease that was deleted; without a uid it is made",
  async (contract) => {
    const { client, namespace } = contract;
    const spec = { holderIdentity: "a", leaseDurationSeconds: 3 };
    const metadata = { name: "late", namespace };
    const lease = await client.create<Lease>(resources.leases, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata,
      spec,
    });
    await client.delete(resources.leases, namespace, "late");
    await assert.rejects(client.replace(resources.leases, lease), (error) => isConflict(error));
    const { resourceVersion: _, uid: __, ...named } = lease.metadata;
    const made = await client.replace<Lease>(resources.leases, { ...lease, metadata: named });
    assert.notEqual(made.metadata.uid, lease.metadata.uid);
  },
);

on("both", "a Lease is taken, renewed, given back, and taken over", async (contract) => {
  const { client, namespace } = contract;
  const began = Promise.withResolvers<void>();
  const elector = (identity: string, onStartedLeading: () => void) =>
    new LeaderElector({
      client,
      clock: systemClock,
      logger: silentLogger,
      namespace,
      name: "leader",
      identity,
      leaseDurationMs: 3_000,
      renewDeadlineMs: 2_000,
      retryPeriodMs: 200,
      onStartedLeading,
    });
  const first = elector("a", began.resolve);
  contract.cleanup(() => first.close());
  first.start();
  await began.promise;
  const taken = await contract.until<Lease, Lease>(resources.leases, "leader", (lease) => lease);
  assert.equal(taken.spec.holderIdentity, "a");
  assert.match(taken.spec.renewTime ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  await contract.until<Lease, true>(resources.leases, "leader", (lease) =>
    lease !== undefined && lease.spec.renewTime !== taken.spec.renewTime ? true : undefined,
  );
  const next = Promise.withResolvers<void>();
  const second = elector("b", next.resolve);
  contract.cleanup(() => second.close());
  second.start();
  await first.close();
  await next.promise;
  const { spec } = await client.get<Lease>(resources.leases, namespace, "leader");
  assert.deepEqual([spec.holderIdentity, (spec.leaseTransitions ?? 0) > 0], ["b", true]);
});

on("both", "a Lease's times must have six digits after the point", async ({ client, namespace }) => {
  const lease = (renewTime: string): Lease => ({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "times", namespace },
    spec: { holderIdentity: "a", renewTime },
  });
  await assert.rejects(client.create(resources.leases, lease("2026-01-01T00:00:00Z")), {
    code: "ELASTI_KUBE_BAD_REQUEST",
  });
  await client.create(resources.leases, lease("2026-01-01T00:00:00.000000Z"));
});

on("both", "an Event is written, and its count raised when it comes again", async (contract) => {
  const { client, namespace } = contract;
  const subject = await client.create(resources.configMaps, configMap(namespace, "a"));
  const recorder = new EventRecorder({ client, clock: systemClock, logger: silentLogger, component: "contract" });
  contract.cleanup(() => recorder.close());
  recorder.warning({ ...subject, apiVersion: "v1", kind: "ConfigMap" }, "Tested", "it was tested");
  const counted = (count: number) =>
    contract.untilAll<KubeEvent, KubeEvent>(resources.events, (events) =>
      events.find((event) => event.reason === "Tested" && event.count === count),
    );
  const event = await counted(1);
  assert.deepEqual(
    [event.type, event.message, event.involvedObject.name, event.involvedObject.uid],
    ["Warning", "it was tested", "a", subject.metadata.uid],
  );
  recorder.warning({ ...subject, apiVersion: "v1", kind: "ConfigMap" }, "Tested", "it was tested");
  assert.equal((await counted(2)).metadata.name, event.metadata.name);
});

on("real", "a token is reviewed for its audience", async (contract) => {
  const { client, namespace } = contract;
  const token = await account(contract, "resolver", ["elasti-operator"]);
  const good = await reviewToken(client, token, ["elasti-operator"]);
  assert.deepEqual(
    [good.authenticated, good.username, good.audiences],
    [true, `system:serviceaccount:${namespace}:resolver`, ["elasti-operator"]],
  );
  assert.ok(good.groups.includes(`system:serviceaccounts:${namespace}`));
  for (const [wrong, audience] of [
    [token, "someone-else"],
    ["nonsense", "elasti-operator"],
  ] as const) {
    const bad = await reviewToken(client, wrong, [audience]);
    assert.deepEqual([bad.authenticated, bad.username, bad.audiences], [false, undefined, []]);
  }
  const ordinary = await account(contract, "other");
  assert.equal((await reviewToken(client, ordinary, ["elasti-operator"])).authenticated, false);
});

on("real", "the token of an account that is gone is no longer accepted", async (contract) => {
  const { client, namespace } = contract;
  const token = await account(contract, "resolver", ["elasti-operator"]);
  await client.delete(serviceAccounts, namespace, "resolver");
  // authenticators remember a token for ten seconds
  let reviewed = await reviewToken(client, token, ["elasti-operator"]);
  while (reviewed.authenticated) {
    contract.signal.throwIfAborted();
    reviewed = await reviewToken(client, token, ["elasti-operator"]);
  }
  assert.equal(reviewed.username, undefined);
});

on(
  "real",
  "what is not granted is forbidden, and the error names verb and resource; /scale is a grant of its own",
  async (contract) => {
    const { client, namespace } = contract;
    await client.create(resources.deployments, deployment(namespace, "web", 0));
    const token = await account(contract, "operator");
    const limited = await clientOf(contract, token);
    const subject = { kind: "ServiceAccount", name: "operator", namespace };
    const grant = async (name: string, apiGroups: string[], granted: string[], verbs: string[]) => {
      const metadata = { name, namespace };
      await client.create(rbac("roles", "Role"), {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata,
        rules: [{ apiGroups, resources: granted, verbs }],
      } as KubeObject);
      await client.create(rbac("rolebindings", "RoleBinding"), {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata,
        subjects: [subject],
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
      } as KubeObject);
    };
    const scale = (replicas: number) =>
      limited.patch(resources.deployments, namespace, "web", "merge", { spec: { replicas } }, { subresource: "scale" });
    const forbidden = (what: RegExp) => ({ code: "ELASTI_KUBE_FORBIDDEN", message: what });
    await assert.rejects(
      scale(1),
      forbidden(
        /not allowed to patch deployments\.apps\/scale .*cannot patch resource "deployments\/scale" in API group "apps"/,
      ),
    );
    await assert.rejects(
      limited.list(resources.services, { namespace }),
      forbidden(/not allowed to list services .*cannot list resource "services"/),
    );
    await grant("scaler", ["apps"], ["deployments/scale"], ["get", "patch"]);
    while (true) {
      contract.signal.throwIfAborted();
      try {
        await scale(1);
        break;
      } catch (error) {
        // authorizers learn of a grant by a watch
        assert.match(String(error), /not allowed/);
      }
    }
    const { spec } = await client.get<Any>(resources.deployments, namespace, "web");
    assert.equal(spec.replicas, 1);
    await assert.rejects(
      limited.patch(resources.deployments, namespace, "web", "merge", { spec: { replicas: 2 } }),
      forbidden(/cannot patch resource "deployments"/),
    );
    const watching = limited.watch(resources.services, { namespace, signal: contract.signal });
    await assert.rejects(
      async () => {
        for await (const _ of watching) break;
      },
      forbidden(/cannot watch resource "services"/),
    );
  },
);

on(
  "real",
  "a SubjectAccessReview says what an account may do, of a resource that no object is of too",
  async (contract) => {
    const { client, namespace } = contract;
    const token = await account(contract, "ann", ["elasti-operator"]);
    const ann = await reviewToken(client, token, ["elasti-operator"]);
    const subject = { ...ann, username: ann.username! };
    const policies = { group: "elasti.truefoundry.com", resource: "scalingpolicies" };
    const may = async (verb: string, where: { namespace?: string }, local = false) => {
      const { allowed } = await reviewAccess(client, subject, { ...policies, ...where, verb }, { local });
      return allowed;
    };
    const bind = async (kind: "Role" | "ClusterRole", verbs: string[]) => {
      const name = `ann-${namespace}`;
      const place = kind === "Role" ? { namespace } : {};
      const rules = [{ apiGroups: [policies.group], resources: [policies.resource], verbs }];
      const resource = (plural: string, of: string) => ({ ...rbac(plural, of), namespaced: kind === "Role" });
      const apiVersion = "rbac.authorization.k8s.io/v1";
      const [roles, bindings] = [
        resource(`${kind.toLowerCase()}s`, kind),
        resource(`${kind.toLowerCase()}bindings`, `${kind}Binding`),
      ];
      const metadata = { name, ...place };
      await client.create(roles, { apiVersion, kind, metadata, rules } as KubeObject);
      contract.cleanup(() => client.delete(roles, place.namespace, name));
      await client.create(bindings, {
        apiVersion,
        kind: `${kind}Binding`,
        metadata,
        subjects: [{ kind: "ServiceAccount", name: "ann", namespace }],
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind, name },
      } as KubeObject);
      contract.cleanup(() => client.delete(bindings, place.namespace, name));
    };
    /** Authorizers learn of a grant by a watch. */
    const granted = async (ask: () => Promise<boolean>) => {
      while (!(await ask())) contract.signal.throwIfAborted();
    };
    assert.deepEqual([await may("get", { namespace }), await may("get", { namespace }, true)], [false, false]);
    await bind("Role", ["get"]);
    await granted(() => may("get", { namespace }));
    assert.equal(await may("get", { namespace }, true), true);
    for (const no of [may("update", { namespace }), may("get", { namespace: "default" }), may("get", {})]) {
      assert.equal(await no, false);
    }
    await bind("ClusterRole", ["list"]);
    await granted(() => may("list", {}));
    assert.deepEqual([await may("list", { namespace }), await may("list", {}, true)], [true, false]);
  },
);
