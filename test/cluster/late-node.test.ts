import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Traffic } from "../e2e/client.ts";
import { Exporter, loadTrigger, missingPrometheus } from "../e2e/exporter.ts";
import { hostAddress, startWorld, type World } from "../e2e/world.ts";

const lagMs = 3_000;

describe("a client on a node that sees changes of Services late", { skip: missingPrometheus }, () => {
  let world: World;
  let exporter: Exporter;
  let prometheus: Awaited<ReturnType<Exporter["prometheus"]>>;
  before(async () => {
    exporter = await Exporter.start();
    prometheus = await exporter.prometheus();
    const operatorEnv = { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress };
    world = await startWorld({ operators: 1, resolvers: 2, prometheusUrl: prometheus.url, operatorEnv });
  });
  after(async () => {
    await world?.close();
    await prometheus?.close();
    await exporter?.close();
  });

  for (const mode of ["SelectorSwap", "Always"] as const) {
    it(`loses nothing while its kube-proxy stands still for 3 s in every transition (${mode})`, {
      timeout: 120_000,
    }, async () => {
      const name = `late-${mode.toLowerCase()}`;
      exporter.set(name, 1);
      // the grace is what a node may lag
      const spec = { cooldownPeriod: 1, triggers: [loadTrigger(name)], routing: { mode, graceSeconds: 4 } };
      const web = await world.sleeper({ name, replicas: 1, startMs: 100, spec });
      for (let round = 0; round < 2; round++) {
        await using traffic = new Traffic(() => web.ask("/", { agent: world.real!.secondNode }), 150);
        const epoch = await web.epoch();
        exporter.set(name, 0);
        // what is asked keeps the sleep from coming; so clients pause, and come back at a moment of each transition
        await traffic.stop();
        assert.deepEqual(traffic.failures, []);
        await web.reaches("Draining", { after: epoch, timeoutMs: 40_000 });
        const parking = world.real!.pauseServiceProxy(2);
        await pause(lagMs);
        parking.continue();
        await web.sleeps({ after: epoch, timeoutMs: 60_000 });
        const waking = world.real!.pauseServiceProxy(2);
        await using back = new Traffic(() => web.ask("/", { agent: world.real!.secondNode }), 50);
        exporter.set(name, 1);
        await web.reaches("Serving", { after: epoch + 3 });
        await pause(lagMs);
        waking.continue();
        await pause(1_000);
        const { failures, answers } = await back.stop();
        assert.deepEqual(failures, []);
        assert.ok(answers.length > 20, `${answers.length}`);
      }
    });
  }
});
