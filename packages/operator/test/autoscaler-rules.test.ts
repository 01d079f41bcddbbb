import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, type ElastiService, KIND, type Phase } from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { type HorizontalPodAutoscaler, isConflict, kubeErrors, type ScaledObject } from "@elasti/kube";
import { FORCE_ACTIVATION, PAUSED, PAUSED_REPLICAS } from "@elasti/scaling";
import {
  type AutoscalerFacts,
  mayTell,
  obstacleOf,
  stageFor,
  stateOfScaledObject,
  wantedOf,
} from "../src/autoscalers/autoscaler-rules.ts";
import { isSameTarget } from "../src/autoscalers/autoscaler-watch.ts";
import { ScaledObjectWriter } from "../src/autoscalers/scaled-object-writer.ts";
import type { OwnWrites } from "../src/lifecycle/own-writes.ts";
import { MemoryKube } from "./kit/kube.ts";

const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const es = (phase: Phase = "Serving", spec: Partial<ElastiService["spec"]> = {}, deleted = false): ElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: "web", namespace: "shop", ...(deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}) },
  spec: { service: "web", scaleTargetRef, ...spec },
  status: { phase, epoch: 7 },
});
const scaledObject = (
  spec: Partial<ScaledObject["spec"]> = {},
  annotations: Record<string, string> = {},
): ScaledObject => ({
  apiVersion: "keda.sh/v1alpha1",
  kind: "ScaledObject",
  metadata: { name: "web", namespace: "shop", resourceVersion: "5", annotations },
  spec: { scaleTargetRef: { name: "web" }, ...spec },
});
const hpa = (minReplicas?: number): HorizontalPodAutoscaler => ({
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: { name: "web", namespace: "shop" },
  spec: { scaleTargetRef, maxReplicas: 9, ...(minReplicas === undefined ? {} : { minReplicas }) },
});
const facts = (change: Partial<AutoscalerFacts> = {}): AutoscalerFacts => ({
  es: es(),
  scaledObjects: [],
  hpas: [],
  states: { keda: "known", hpa: "known" },
  named: undefined,
  kedaVersion: [2, 21],
  troubleOf: () => undefined,
  ...change,
});

describe("what autoscalers let a target do", () => {
  const keda = { type: "keda", name: "web" } as const;
  const trouble = { reason: "AutoscalerReverted", message: "somebody" } as const;
  const cases: [string, Partial<AutoscalerFacts>, string | undefined][] = [
    ["none", {}, undefined],
    ["an HPA", { hpas: [hpa(2), hpa()] }, undefined],
    ["an HPA that goes to zero", { hpas: [hpa(0)] }, "AutoscalerUnsupported"],
    ["a ScaledObject", { scaledObjects: [scaledObject()] }, undefined],
    [
      "an old KEDA that stays above zero",
      { kedaVersion: [2, 12], scaledObjects: [scaledObject({ minReplicaCount: 1 })] },
      undefined,
    ],
    [
      "an old KEDA that goes to zero",
      { kedaVersion: [2, 17], scaledObjects: [scaledObject()] },
      "AutoscalerUnsupported",
    ],
    [
      "an old KEDA that goes to zero when idle",
      { kedaVersion: [1, 99], scaledObjects: [scaledObject({ minReplicaCount: 2, idleReplicaCount: 0 })] },
      "AutoscalerUnsupported",
    ],
    ["a KEDA that does not say how old it is", { kedaVersion: undefined, scaledObjects: [scaledObject()] }, undefined],
    ["a pin", { scaledObjects: [scaledObject({}, { [PAUSED_REPLICAS]: "5" })] }, "AutoscalerPinned"],
    ["a pause", { scaledObjects: [scaledObject({}, { [PAUSED]: "true" })] }, undefined],
    ["one that cannot be told", { scaledObjects: [scaledObject()], troubleOf: () => trouble }, "AutoscalerReverted"],
    ["kinds not looked for yet", { states: { keda: "absent", hpa: "pending" } }, "AutoscalerPending"],
    ["kinds that may not be read, and are not named", { states: { keda: "unreadable", hpa: "unreadable" } }, undefined],
    [
      "a named one that may not be read",
      { es: es("Serving", { autoscaler: keda }), states: { keda: "unreadable", hpa: "known" } },
      "AutoscalerUnreadable",
    ],
    ["a named one that is not there", { es: es("Serving", { autoscaler: keda }) }, undefined],
  ];
  for (const [name, change, reason] of cases)
    it(`${name}: ${reason ?? "sleep"}`, () => assert.equal(obstacleOf(facts(change))?.reason, reason));

  it("wakes ask for the highest of the minimums, and own nothing above one where there is an autoscaler", () => {
    const found = { scaledObjects: [scaledObject({ minReplicaCount: 3 })], hpas: [hpa(2), hpa()] };
    assert.deepEqual(wantedOf(es(), found), { replicas: 3, autoscaled: true });
    assert.deepEqual(wantedOf(es("Asleep", { minTargetReplicas: 5 }), found), { replicas: 5, autoscaled: true });
    assert.deepEqual(wantedOf(es(), { scaledObjects: [], hpas: [] }), { replicas: 1, autoscaled: false });
  });

  it("an old KEDA gets its values back, and is told nothing else", () => {
    const stages = ["paused", "asleep", "waking", "awake", "restored"] as const;
    const told = stages.map((stage) => stageFor(scaledObject(), stage, [2, 17]));
    assert.deepEqual(told, [undefined, undefined, undefined, "restored", "restored"]);
    assert.deepEqual(
      stages.map((stage) => stageFor(scaledObject(), stage, [2, 18])),
      [...stages],
    );
  });
});

describe("several ElastiServices with one target", () => {
  const gone = es("Serving", {}, true);
  const cases: [Parameters<typeof mayTell>[0], readonly ElastiService[], boolean][] = [
    ["paused", [es("Serving")], true],
    ["waking", [es("Asleep")], true],
    ["asleep", [es("Sealed")], false],
    ["asleep", [es("Asleep"), gone], true],
    ["awake", [es("Draining")], false],
    ["awake", [es("Waking")], false],
    ["awake", [es("Serving"), gone], true],
    ["restored", [es("Serving")], false],
    ["restored", [gone], true],
    ["restored", [], true],
  ];
  for (const [stage, peers, expected] of cases)
    it(`${expected ? "tell" : "do not tell"} KEDA ${stage} beside ${peers.map(({ status }) => status?.phase).join()}`, () =>
      assert.equal(mayTell(stage, peers), expected));

  it("know each other's wakes", () => {
    const [one, two] = [es("Asleep"), { ...es("Asleep"), metadata: { name: "two", namespace: "shop" } }];
    assert.deepEqual(stateOfScaledObject(scaledObject(), one, [two]).sleeps, ["web@7", "two@7"]);
  });
});

describe("the target that an autoscaler names", () => {
  const cases: [object, boolean][] = [
    [{ name: "web" }, true],
    [{ name: "api" }, false],
    [{ name: "web", kind: "StatefulSet" }, false],
    [{ name: "web", apiVersion: "apps/v1beta2", kind: "deployments" }, true],
    [{ name: "web", apiVersion: "argoproj.io/v1alpha1", kind: "Deployment" }, false],
    [{ name: "web", apiVersion: "v1", kind: "Deployment" }, false],
  ];
  for (const [reference, expected] of cases)
    it(`${JSON.stringify(reference)}: ${expected ? "ours" : "another"}`, () =>
      assert.equal(isSameTarget({ name: "", ...reference }, scaleTargetRef), expected));
});

describe("writing to a ScaledObject", () => {
  const setUp = (answers: (() => ScaledObject)[]) => {
    const clock = new ManualClock();
    const client = new MemoryKube();
    const retried: string[] = [];
    const bodies: unknown[] = [];
    const writer = new ScaledObjectWriter({
      client: Object.assign(client, {
        patch: async (_resource: unknown, _namespace: unknown, _name: unknown, _kind: unknown, body: unknown) => {
          bodies.push(body);
          return answers.shift()?.();
        },
      }) as unknown as MemoryKube,
      clock,
      logger: silentLogger,
      scaledObjects: { wrote: (object: ScaledObject) => object } as unknown as OwnWrites<ScaledObject>,
      retry: (namespace, name) => retried.push(`${namespace}/${name}`),
    });
    return { clock, client, writer, retried, bodies };
  };
  const fails = (error: Error) => () => {
    throw error;
  };
  const object = scaledObject();
  const state = stateOfScaledObject(object, es());

  it("carries the resourceVersion that was decided on", async () => {
    const { writer, bodies } = setUp([() => object]);
    await writer.write(object, state, "awake");
    assert.partialDeepStrictEqual(bodies, [
      { metadata: { resourceVersion: "5", annotations: { [FORCE_ACTIVATION]: "true" } } },
    ]);
  });

  it("tells who was slower, and nobody else", async () => {
    const { writer } = setUp([
      fails(kubeErrors.ELASTI_KUBE_CONFLICT("x")),
      fails(kubeErrors.ELASTI_KUBE_NOT_FOUND("x")),
    ]);
    await assert.rejects(writer.write(object, state, "paused"), isConflict);
    await writer.write(object, state, "paused");
    assert.equal(writer.trouble(object), undefined);
  });

  it("tries what fails again after 5 s, 20 s, 80 s, and 5 minutes at most", async () => {
    const error = kubeErrors.ELASTI_KUBE_FORBIDDEN("not allowed");
    const { writer, clock, retried } = setUp(Array.from({ length: 6 }, () => fails(error)));
    for (const [times, pauseMs] of [5_000, 20_000, 80_000, 300_000, 300_000].entries()) {
      await writer.write(object, state, "paused");
      assert.equal(writer.trouble(object)?.reason, "AutoscalerNotWritable");
      await clock.advance(pauseMs - 1);
      assert.deepEqual([retried.length, writer.trouble(object) === undefined], [times, false]);
      await clock.advance(2);
      assert.deepEqual([retried.length, writer.trouble(object)], [times + 1, undefined]);
    }
    writer.close();
  });

  it("for a wake reads afresh once after a conflict, and writes nothing where nothing is missing then", async () => {
    const { writer, client, bodies } = setUp([fails(kubeErrors.ELASTI_KUBE_CONFLICT("x")), () => object]);
    const fresh = client.put("scaledobjects", scaledObject({}, { [PAUSED]: "true", [PAUSED_REPLICAS]: "0" }));
    await writer.writeForWake(object, (one) => ({ ...stateOfScaledObject(one, es()), named: true }), "waking");
    assert.partialDeepStrictEqual(bodies[1], {
      metadata: { resourceVersion: fresh.metadata.resourceVersion, annotations: { [PAUSED_REPLICAS]: null } },
    });
    assert.equal(bodies.length, 2);
  });
});
