import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { FINALIZER, PORT_TABLE_LABEL, privateServiceName } from "@elasti/api";
import { type ConfigMap, resources } from "@elasti/kube";
import { doctor } from "../../packages/cli/src/doctor/doctor.ts";
import type { Finding } from "../../packages/cli/src/doctor/finding.ts";
import { restore } from "../../packages/cli/src/restore/restore.ts";
import type { RestoreResult } from "../../packages/cli/src/restore/result.ts";
import { Traffic } from "./client.ts";
import type { Sleeper } from "./sleeper.ts";
import { OPERATOR, startWorld, type World } from "./world.ts";

/** A trigger that knows nothing, so that what sleeps stays asleep and what is up stays up. */
const unknown = {
  type: "prometheus" as const,
  metadata: { serverAddress: "http://127.0.0.1:9", query: "up", threshold: 1 },
};

describe("elasti doctor and elasti restore", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 2 });
  });
  after(() => world.close());

  async function run(...args: string[]): Promise<{ code: number; result: RestoreResult | undefined; said: string }> {
    let out = "";
    let said = "";
    const code = await restore(
      ["--kubeconfig", world.ground.kubeconfig, "--operator-namespace", world.system, "--json", ...args],
      {
        env: {},
        write: (text) => {
          out += text;
        },
        writeError: (text) => {
          said += text;
        },
        signal: new AbortController().signal,
      },
    );
    return { code, result: out === "" ? undefined : (JSON.parse(out) as RestoreResult), said };
  }

  async function look(...args: string[]): Promise<{ code: number; findings: Finding[]; said: string }> {
    let out = "";
    let said = "";
    const code = await doctor(
      ["--kubeconfig", world.ground.kubeconfig, "--operator-namespace", world.system, "--json", ...args],
      {
        env: {},
        write: (text) => {
          out += text;
        },
        writeError: (text) => {
          said += text;
        },
        signal: new AbortController().signal,
      },
    );
    return { code, findings: out === "" ? [] : (JSON.parse(out) as { findings: Finding[] }).findings, said };
  }

  async function isItself(web: Sleeper): Promise<void> {
    const service = await web.publicService();
    assert.deepEqual(service.spec.selector, web.service.spec.selector);
    assert.deepEqual(service.metadata.annotations ?? {}, web.service.metadata.annotations ?? {});
    assert.equal((await web.slices()).ours, undefined);
    assert.equal(await world.get(resources.services, web.namespace, privateServiceName(web.name)), undefined);
    const es = await web.es();
    assert.equal(es.metadata.finalizers?.includes(FINALIZER) ?? false, false);
    assert.ok((await web.deployment()).status?.readyReplicas);
  }

  it("find nothing wrong, leave all alone while an operator runs, and put it back without losing a request once it is stopped", async () => {
    const routing = { graceSeconds: 2 };
    const [swapped, always, awake] = await Promise.all([
      world.sleeper({ name: "swapped", startMs: 300, spec: { minTargetReplicas: 2, routing, triggers: [unknown] } }),
      world.sleeper({ name: "always", startMs: 300, spec: { routing } }),
      world.sleeper({ name: "awake", replicas: 1, spec: { routing } }),
    ]);
    await awake.parked();

    const well = await look();
    assert.deepEqual(
      well.findings.filter(({ severity }) => severity === "error"),
      [],
    );
    assert.ok(well.code < 2, well.said);

    const dry = await run("--dry-run");
    assert.equal(dry.code, 0);
    const lines = dry.result?.items.map(({ object, kind }) => `${kind} ${object}`) ?? [];
    for (const line of [
      "target Deployment default/swapped",
      "finalizer ElastiService default/swapped",
      "park Service default/always",
      "park Service default/awake",
      `private Service default/${privateServiceName("awake")}`,
    ])
      assert.ok(lines.includes(line), `${line} in ${lines.join("\n")}`);
    assert.ok(!lines.includes("target Deployment default/awake"));

    const refused = await run();
    assert.equal(refused.code, 2);
    assert.match(refused.said, /runs and renews the Lease/);
    assert.equal(await swapped.phase(), "Asleep");

    const { generation } = (await awake.deployment()).metadata;
    const all = [swapped, always, awake];
    const traffic = all.map((web) => new Traffic(() => web.ask(), 50));
    const { code, result, said } = await run(`--stop-operator=${OPERATOR}`, "--purge");
    const seen = await Promise.all(traffic.map((one) => one.stop()));
    assert.equal(code, 0, `${JSON.stringify(result)}\n${said}`);
    for (const { failures, answers } of seen) {
      assert.deepEqual(failures, []);
      assert.ok(answers.length > 0);
    }
    for (const web of all) await isItself(web);
    assert.deepEqual([await swapped.replicas(), await always.replicas(), await awake.replicas()], [2, 1, 1]);
    assert.equal((await awake.deployment()).metadata.generation, generation);
    assert.deepEqual(
      result?.items.filter(({ outcome }) => outcome !== "done"),
      [],
    );
    assert.equal(await world.get(resources.leases, world.system, OPERATOR), undefined);
    const { items } = await world.client.list<ConfigMap>(resources.configMaps, { namespace: world.system });
    assert.deepEqual(
      items.filter(({ metadata }) => metadata.labels?.[PORT_TABLE_LABEL] !== undefined),
      [],
    );
    const again = await run();
    assert.deepEqual([again.code, again.result?.items], [0, []]);

    const alone = await look("--service", "awake");
    assert.equal(alone.code, 2);
    const reasons = alone.findings.map(({ severity, reason, object }) => `${severity} ${reason} ${object}`);
    for (const wanted of [
      `error NoLeader Lease ${world.system}/${OPERATOR}`,
      `error NoOperator Service ${world.system}/${OPERATOR}`,
    ])
      assert.ok(reasons.includes(wanted), `${wanted} in ${reasons.join("\n")}`);

    // an operator that comes back takes them up again
    await world.scale(OPERATOR, 1);
    await Promise.all([awake.parked(), always.parked()]);
  });
});
