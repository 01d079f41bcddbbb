import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { elastiServiceCrd, OVERRIDE_ANNOTATION } from "@elasti/api";
import { type Deployment, type KubeObject, resources } from "@elasti/kube";
import type { JournalEntry, PolicyVote } from "../src/policy-hooks.ts";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
const condition = ({ status }: Es, type: string) => status?.conditions?.find((one) => one.type === type);

describe("an override, and what policies say, to the operator", () => {
  let world: OperatorWorld;
  let vote: PolicyVote;
  let revote: (key: string) => void;
  const journal: JournalEntry[] = [];
  beforeEach(async () => {
    vote = {};
    journal.length = 0;
    world = await startOperator({ ELASTI_RESCALE_DURATION: "1s" }, undefined, {
      votes: {
        of: () => vote,
        onChange: (listener) => {
          revote = listener;
        },
      },
      journal: { record: (entry) => void journal.push(entry) },
    });
  });
  afterEach(() => world.close());

  const annotate = (record: string | null) =>
    world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", {
      metadata: { annotations: { [OVERRIDE_ANNOTATION]: record } },
    });
  const annotateTarget = (record: Record<string, unknown> | null) =>
    world.client.patch<Deployment>(resources.deployments, "default", "web", "merge", {
      metadata: {
        annotations: {
          [OVERRIDE_ANNOTATION]:
            record === null ? null : JSON.stringify({ until: inMs(600_000), by: "ada", ...record }),
        },
      },
    });
  const override = (record: Record<string, unknown>) =>
    annotate(JSON.stringify({ until: inMs(600_000), by: "ada", ...record }));
  const replicas = async () =>
    (await world.client.get<Deployment>(resources.deployments, "default", "web")).spec.replicas;
  const starts = async (options: { replicas: number }) => {
    await world.app("web", options);
    await world.elastiService("web");
    await world.until("web", ({ status }) => status?.phase === (options.replicas === 0 ? "Asleep" : "Serving"));
  };
  const events = async () =>
    (await world.client.list<KubeObject & { reason: string }>(resources.events, { namespace: "default" })).items.map(
      ({ reason }) => reason,
    );

  it("wakes for awake, and tells people and the journal", async () => {
    await starts({ replicas: 0 });
    await override({ kind: "awake" });
    const { status } = await world.until(
      "web",
      (es) => es.status?.phase === "Waking" && condition(es, "Override") !== undefined,
    );
    assert.deepEqual([status?.lastWake?.reason, await replicas()], ["override", 1]);
    assert.deepEqual(
      journal.map(({ action, previousReplicas, newReplicas, triggeredBy }) => [
        action,
        previousReplicas,
        newReplicas,
        triggeredBy,
      ]),
      [["wake", 0, 1, "override:ada"]],
    );
    await annotate(null);
    await world.until("web", (es) => condition(es, "Override") === undefined);
    const said = await events();
    assert.ok(said.includes("OverrideBegan") && said.includes("OverrideEnded"), String(said));
  });

  it("waits for its time to raise again what others took back, and does not ask without end meanwhile", async () => {
    await starts({ replicas: 0 });
    await override({ kind: "awake" });
    await world.until("web", ({ status }) => status?.phase === "Waking");
    await world.client.patch(resources.deployments, "default", "web", "merge", { spec: { replicas: 0 } });
    while ((await replicas()) === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    const text = await (await fetch(`${world.url}/metrics`)).text();
    const asked = text
      .matchAll(/^elasti_wakes_total\{outcome="in-progress".*\} (\d+)$/gm)
      .reduce((sum, [, n]) => sum + Number(n), 0);
    assert.ok(asked >= 1 && asked < 20, `asked ${asked} times`);
  });

  it("moves what is awake, once, and tells the journal", async () => {
    await starts({ replicas: 1 });
    await override({ kind: "pin", replicas: 3 });
    await world.until("web", (es) => condition(es, "Override")?.reason === "Pin");
    assert.equal(await replicas(), 3);
    await world.client.patch(resources.deployments, "default", "web", "merge", { spec: { replicas: 2 } });
    await override({ kind: "pause" });
    await world.until("web", (es) => condition(es, "Override")?.reason === "Pause");
    assert.equal(await replicas(), 2);
    assert.deepEqual(
      journal.map(({ action, previousReplicas, newReplicas, triggeredBy }) => [
        action,
        previousReplicas,
        newReplicas,
        triggeredBy,
      ]),
      [["scale_up", 1, 3, "override:ada"]],
    );
  });

  it("shows resolvers a pin to zero, refuses notifications, and wakes again at its end", async () => {
    await starts({ replicas: 0 });
    await override({ kind: "pin", replicas: 0 });
    const { status } = await world.until("web", (es) => es.status?.waking?.reason === "PinnedAsleep");
    assert.equal(status?.waking?.certain, true);
    const refused = await world.notify("web");
    assert.deepEqual([refused.status, refused.headers.get("elasti-reason")], [503, "ELASTI_PINNED_ASLEEP"]);
    assert.equal(await replicas(), 0);
    const until = inMs(400);
    await override({ kind: "pin", replicas: 0, until });
    await world.until(
      "web",
      (es) => es.status?.waking === undefined && es.metadata.annotations?.[OVERRIDE_ANNOTATION] === undefined,
    );
    assert.ok(Date.now() >= Date.parse(until));
    assert.equal((await world.notify("web")).status, 200);
    assert.equal(await replicas(), 1);
  });

  it("writes no stream of statuses where the definition in the cluster is older and drops when it ends", async () => {
    const { versions } = structuredClone(elastiServiceCrd()).spec as unknown as { versions: CrdVersion[] };
    delete versions[0]!.schema.openAPIV3Schema.properties.status.properties.waking.properties.until;
    await world.client.patch(
      resources.customResourceDefinitions,
      undefined,
      "elastiservices.elasti.truefoundry.com",
      "json",
      [{ op: "replace", path: "/spec/versions", value: versions }],
    );
    await starts({ replicas: 0 });
    await override({ kind: "pin", replicas: 0 });
    const { status } = await world.until("web", (es) => condition(es, "Override") !== undefined);
    assert.deepEqual([status?.waking?.reason, status?.waking?.until], ["PinnedAsleep", undefined]);
    const before = world.writes.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(world.writes.length - before < 5, `${world.writes.length - before} writes`);
  });

  it("leaves an expired one that is put there again", async () => {
    await starts({ replicas: 0 });
    const record = JSON.stringify({ kind: "awake", until: inMs(-1_000), by: "ada" });
    await annotate(record);
    await world.until("web", ({ metadata }) => metadata.annotations?.[OVERRIDE_ANNOTATION] === undefined);
    await annotate(record);
    await override({ kind: "pause" });
    await world.until("web", (es) => condition(es, "Override") !== undefined);
    await annotate(record);
    await world.until("web", (es) => condition(es, "Override") === undefined);
    const es = await world.client.get<Es>(resources.elastiServices, "default", "web");
    assert.equal(es.metadata.annotations?.[OVERRIDE_ANNOTATION], record);
    assert.equal(await replicas(), 0);
  });

  it("says of one that is wrong which field, and whenever that changes", async () => {
    await starts({ replicas: 0 });
    await override({ kind: "at-least", replicas: 0 });
    const first = await world.until("web", (es) => condition(es, "OverrideInvalid") !== undefined);
    assert.match(
      condition(first, "OverrideInvalid")?.message ?? "",
      /replicas 0: kind at-least expects a whole number from 1/,
    );
    await override({ kind: "pin", replicas: -7 });
    await world.until(
      "web",
      (es) => condition(es, "OverrideInvalid")?.message.includes("replicas -7: kind pin") === true,
    );
    assert.equal(await replicas(), 0);
  });

  it("heeds one on the target as one of its own, which comes first", async () => {
    await starts({ replicas: 0 });
    await annotateTarget({ kind: "pin", replicas: 2 });
    const woken = await world.until(
      "web",
      (es) => es.status?.phase === "Waking" && condition(es, "Override") !== undefined,
    );
    assert.equal(await replicas(), 2);
    assert.match(condition(woken, "Override")?.message ?? "", /by ada, on the target$/);
    await override({ kind: "pause" });
    await world.until("web", (es) => condition(es, "Override")?.reason === "Pause");
    await annotate(null);
    await world.until("web", (es) => condition(es, "Override")?.reason === "Pin");
    await annotateTarget({ kind: "pin", replicas: -1 });
    const wrong = await world.until("web", (es) => condition(es, "OverrideInvalid") !== undefined);
    assert.match(condition(wrong, "OverrideInvalid")?.message ?? "", /of the target changes nothing: replicas -1/);
    await annotateTarget(null);
    await world.until("web", (es) => condition(es, "OverrideInvalid") === undefined);
  });

  it("refuses requests of what is pinned asleep on its target", async () => {
    await starts({ replicas: 0 });
    await annotateTarget({ kind: "pin", replicas: 0 });
    await world.until("web", (es) => es.status?.waking?.reason === "PinnedAsleep");
    assert.equal((await world.notify("web")).status, 503);
    assert.equal(await replicas(), 0);
    await annotateTarget(null);
    await world.until("web", (es) => es.status?.waking === undefined);
    assert.equal((await world.notify("web")).status, 200);
  });

  it("wakes for a window's floor, at its size, and does not let it sleep", async () => {
    await starts({ replicas: 0 });
    vote = { floor: { replicas: 2, message: "policy hours asks for 2 until 18:00" } };
    revote("default/web");
    const { status } = await world.until(
      "web",
      (es) => es.status?.phase === "Waking" && condition(es, "Idle") !== undefined,
    );
    assert.deepEqual([status?.lastWake?.reason, await replicas()], ["policy", 2]);
    const idle = status?.conditions?.find(({ type }) => type === "Idle");
    assert.deepEqual([idle?.reason, idle?.message], ["PolicyFloor", "policy hours asks for 2 until 18:00"]);
    assert.deepEqual(
      journal.map(({ action, triggeredBy }) => [action, triggeredBy]),
      [["wake", "operator"]],
    );
  });

  it("wakes for a request at the size that policies ask for while awake", async () => {
    await starts({ replicas: 0 });
    vote = { awake: 3 };
    assert.equal((await world.notify("web")).status, 200);
    assert.equal(await replicas(), 3);
    assert.deepEqual(
      journal.map(({ action, newReplicas, triggeredBy }) => [action, newReplicas, triggeredBy]),
      [["wake", 3, "operator"]],
    );
  });
});

interface CrdVersion {
  schema: {
    openAPIV3Schema: {
      properties: { status: { properties: { waking: { properties: Record<string, unknown> } } } };
    };
  };
}
