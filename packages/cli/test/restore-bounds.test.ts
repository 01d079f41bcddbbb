import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { elastiServiceCrd } from "@elasti/api";
import {
  createKubeClient,
  type HorizontalPodAutoscaler,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Resource,
  resources,
  type ScaledObject,
} from "@elasti/kube";
import { type ApiServer, looseDefinition, startApiServer } from "@elasti/local";
import { PAUSED, PAUSED_REPLICAS, RECORD } from "@elasti/scaling";
import { restore } from "../src/restore/restore.ts";
import type { RestoreResult } from "../src/restore/result.ts";

const annotated = (record: unknown, others: Record<string, string> = {}) => ({
  namespace: "default",
  annotations: { ...others, [RECORD]: JSON.stringify(record) },
});

describe("elasti restore where policies have moved bounds", () => {
  let api: ApiServer;
  let client: KubeClient;
  let folder: string;
  before(async () => {
    api = await startApiServer({ tokens: { secret: "admin" } });
    client = createKubeClient({ cluster: { server: api.url, token: async () => "secret" } });
    folder = await mkdtemp(join(tmpdir(), "elasti-bounds-"));
    await writeFile(join(folder, "config"), api.kubeconfig("secret"));
    const definitions = [resources.horizontalPodAutoscalers, resources.scaledObjects].map((resource) =>
      looseDefinition(resource),
    );
    for (const definition of [...definitions, elastiServiceCrd() as unknown as KubeObject])
      await client.create(resources.customResourceDefinitions, definition);
    await create<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers, {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: {
        name: "web",
        ...annotated({ policy: { by: "p", min: { was: 2, now: 5 }, max: { was: 4, now: 9 } } }),
      },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        minReplicas: 5,
        maxReplicas: 9,
      },
    });
    // put to sleep over a pin: the pause goes first, as the pin is among what it puts back
    await create<ScaledObject>(resources.scaledObjects, {
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: {
        name: "jobs",
        ...annotated(
          {
            [PAUSED]: { was: null, now: "true" },
            [PAUSED_REPLICAS]: { was: "3", now: "0" },
            policy: { by: "q", max: { was: null, now: 9 }, pinned: { was: null, now: "3" } },
          },
          { [PAUSED]: "true", [PAUSED_REPLICAS]: "0" },
        ),
      },
      spec: { scaleTargetRef: { name: "jobs" }, maxReplicaCount: 9 },
    });
  });
  after(async () => {
    await client.close();
    await api.close();
    await rm(folder, { recursive: true });
  });

  /** As soon as its kind is served. */
  async function create<T extends KubeObject>(resource: Resource, object: T): Promise<void> {
    const until = AbortSignal.timeout(8_000);
    for (;;) {
      try {
        await client.create<T>(resource, object);
        return;
      } catch (error) {
        until.throwIfAborted();
        if (!isNotFound(error)) throw error;
      }
    }
  }
  async function run(...args: string[]): Promise<{ code: number; lines: string[]; said: string }> {
    let out = "";
    let said = "";
    const code = await restore(
      ["--kubeconfig", join(folder, "config"), "--operator-namespace", "default", "--json", ...args],
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
    const { items } = JSON.parse(out) as RestoreResult;
    return { code, lines: items.map(({ kind, object, outcome }) => `${outcome} ${kind} ${object}`), said };
  }
  const autoscalers = () =>
    Promise.all([
      client.get<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers, "default", "web"),
      client.get<ScaledObject>(resources.scaledObjects, "default", "jobs"),
    ]);

  it("says what it would do, does it, and then has nothing more to do", async () => {
    const before = await autoscalers();
    const dry = await run("--dry-run");
    const wanted = [
      "autoscaler ScaledObject default/jobs",
      "bounds HorizontalPodAutoscaler default/web",
      "bounds ScaledObject default/jobs",
    ];
    assert.deepEqual(dry, { code: 0, lines: wanted.map((line) => `todo ${line}`), said: "" });
    assert.deepEqual(await autoscalers(), before);

    const { code, lines, said } = await run();
    assert.equal(code, 0, `${lines.join("\n")}\n${said}`);
    assert.deepEqual(
      lines,
      wanted.map((line) => `done ${line}`),
    );
    const [hpa, scaledObject] = await autoscalers();
    assert.deepEqual([hpa.spec.minReplicas, hpa.spec.maxReplicas, hpa.metadata.annotations ?? {}], [2, 4, {}]);
    assert.deepEqual([scaledObject.spec.maxReplicaCount, scaledObject.metadata.annotations ?? {}], [undefined, {}]);

    const again = await run();
    assert.deepEqual([again.code, again.lines], [0, []]);
  });
});
