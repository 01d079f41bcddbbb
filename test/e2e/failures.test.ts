import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Container, type KubeObject, resources } from "@elasti/kube";
import { assertCannotWake, editContainer, firstContainer } from "./cannot-wake.ts";
import { OPERATOR, startWorld, type World } from "./world.ts";

/** Kubelets make a container wait 10 s before its second restart. */
const patience = { timeoutMs: 60_000 };

describe("a wake that cannot succeed", { concurrency: 3 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ resolvers: 2 });
  });
  after(() => world.close());

  it("because its container ends as often as it is started is answered, until a version that does not is there", async () => {
    let good: string[] = [];
    const web = await world.sleeper({
      name: "crashes",
      edit: (manifests) => {
        const container = firstContainer(manifests);
        good = container.command ?? [];
        container.command = [good[0]!, "-e", "process.exit(3)"];
      },
    });
    const held = await Promise.all([web.ask("/", patience), web.ask("/", patience)]);
    for (const answer of held)
      assertCannotWake(answer, "ELASTI_WAKE_CRASH_LOOP", /container app ended \d+ times: exit code 3 \(Error\)/);
    const { reason, message } = await web.condition("WakeFailed", ({ status }) => status === "True");
    assert.equal(reason, "CrashLoop");
    assert.match(message, /^pod crashes-\S+, container app ended/);

    const next = await web.ask();
    assertCannotWake(next, "ELASTI_WAKE_CRASH_LOOP", /exit code 3/);
    const { items } = await world.client.list<KubeObject & { message: string; involvedObject: { name: string } }>(
      resources.events,
      { namespace: "default", fieldSelector: "reason=WakeFailed" },
    );
    assert.ok(
      items.some(({ message, involvedObject: { name } }) => name === "crashes" && message.startsWith("CrashLoop: ")),
    );

    await editContainer(web, (container) => {
      container.command = good;
    });
    const { status } = await web.reaches("Serving", patience);
    assert.equal(status?.waking, undefined);
    assert.equal((await web.ask()).status, 200);
  });

  it("because its image is not on the node, and is never pulled, is answered at once", async () => {
    const web = await world.sleeper({
      name: "imageless",
      spec: { cooldownPeriod: 1, routing: { graceSeconds: 0 } },
      edit: (manifests) => {
        const container = firstContainer(manifests) as Container & { imagePullPolicy?: string };
        container.image = "elasti-no-such-image:9";
        container.imagePullPolicy = "Never";
        delete container.command;
      },
    });
    assertCannotWake(await web.ask(), "ELASTI_WAKE_IMAGE_NOT_FOUND", /container app: /);
    assert.equal((await web.condition("WakeFailed", ({ status }) => status === "True")).reason, "ImageNotFound");

    // it falls asleep by the usual rules, and the first request after that has it tried again
    const { status } = await web.sleeps({ after: (await web.epoch()) - 1 });
    assert.equal(status?.waking, undefined);
    assertCannotWake(await web.ask(), "ELASTI_WAKE_IMAGE_NOT_FOUND", /container app: /);
    assert.equal(await web.replicas(), 1);
  });

  it("yet is not certain holds, and says at the deadline what it waited for", async () => {
    const web = await world.sleeper({
      name: "slow",
      startMs: 60_000,
      spec: { queue: { timeoutSeconds: 13 } },
    });
    const answer = await web.ask();
    assert.deepEqual([answer.status, answer.headers["elasti-reason"]], [504, "ELASTI_HOLD_TIMEOUT"]);
    assert.match(answer.text, /NotReady: pod slow-\S+ runs and is not ready yet \(for \d+ s\)/);
  });
});

describe("a wake that was found to fail", () => {
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  after(() => world.close());

  it("is answered while no operator runs, and is found mended by the next one", async () => {
    let good: string[] = [];
    const web = await world.sleeper({
      name: "orphaned",
      edit: (manifests) => {
        const container = firstContainer(manifests);
        good = container.command ?? [];
        container.command = [good[0]!, "-e", "process.exit(4)"];
      },
    });
    assertCannotWake(await web.ask("/", patience), "ELASTI_WAKE_CRASH_LOOP", /exit code 4/);
    await world.scale(OPERATOR, 0);
    const answer = await web.ask();
    assertCannotWake(answer, "ELASTI_WAKE_CRASH_LOOP", /exit code 4/);
    await editContainer(web, (container) => {
      container.command = good;
    });
    await world.scale(OPERATOR, 1);
    const { status } = await web.reaches("Serving", patience);
    assert.equal(status?.waking, undefined);
    assert.equal((await web.ask()).status, 200);
  });
});
