import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { elastiAccounts, type Installation, installElasti, type LocalCluster, startLocalCluster } from "@elasti/local";

const named = (component: string) => (one: { component: string }) => one.component === component;

describe("Elasti on the local cluster", () => {
  let cluster: LocalCluster;
  let elasti: Installation;

  before(async () => {
    cluster = await startLocalCluster({ nodes: 2, accounts: elastiAccounts() });
    elasti = await installElasti({ cluster });
  });

  after(async () => {
    await elasti?.close();
    await cluster?.close();
  });

  test("runs two operators and two resolvers, spread over the nodes", async () => {
    const processes = await elasti.processes();
    const operators = processes.filter(named("elasti-operator"));
    const resolvers = processes.filter(named("elasti-resolver"));
    assert.deepEqual([operators.length, resolvers.length], [2, 2]);
    assert.equal(new Set(processes.map(({ address }) => address)).size, 4);
    assert.deepEqual(new Set(processes.map(({ node }) => node)), new Set(["node-1", "node-2"]));
    const leader = await elasti.leader();
    assert.ok(operators.some(({ pod }) => pod === leader));
  });

  test("a sample app at zero with an ElastiService falls asleep; a phase that does not come says where it stands", async () => {
    const app = await elasti.sampleApp({ name: "web", namespace: "shop" });
    assert.match(app.url, /^http:\/\/127\.[\d.]+:8080$/);
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
    await elasti.elastiService({ namespace: "shop", spec: { service: "web", scaleTargetRef } });
    const es = await elasti.waitForPhase("shop", "web", "Asleep", { when: ({ status }) => status?.podsGone === true });
    await assert.rejects(
      elasti.waitForPhase("shop", "web", "Asleep", { afterEpoch: es.status?.epoch ?? 0, timeoutMs: 50 }),
      /ElastiService shop\/web did not reach phase Asleep in time: phase Asleep, epoch \d+, pods gone/,
    );
    await assert.rejects(
      elasti.waitForPhase("shop", "other", "Serving", { timeoutMs: 50 }),
      /did not reach phase Serving in time: it does not exist/,
    );
  });

  test("a killed operator is another process afterwards", async () => {
    const killed = await elasti.killOperator("follower");
    assert.notEqual(killed.pod, await elasti.leader());
    await cluster.waitFor(
      { group: "", version: "v1", plural: "pods", kind: "Pod", namespaced: true },
      elasti.namespace,
      killed.pod,
      (pod) => {
        const { containerStatuses = [] } =
          (pod as { status?: { containerStatuses?: Restarts[] } } | undefined)?.status ?? {};
        return containerStatuses.some(({ restartCount, ready }) => restartCount === 1 && ready) || undefined;
      },
      AbortSignal.timeout(20_000),
    );
    const again = (await elasti.processes()).find(({ pod }) => pod === killed.pod);
    assert.notEqual(again?.pid, killed.pid);
    await assert.rejects(elasti.killOperator("nobody"), /no operator fits "nobody"/);
  });

  test("resolvers can be fewer", async () => {
    await elasti.scaleResolvers(1);
    assert.equal((await elasti.processes()).filter(named("elasti-resolver")).length, 1);
  });
});

interface Restarts {
  restartCount: number;
  ready: boolean;
}

test("a cluster that does not know the accounts is told which ones are missing", async () => {
  const cluster = await startLocalCluster();
  try {
    await assert.rejects(
      installElasti({ cluster }),
      /no account "system:serviceaccount:elasti-system:elasti-resolver"/,
    );
  } finally {
    await cluster.close();
  }
});
