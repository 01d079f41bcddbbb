import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { elastiServiceCrd } from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { createKubeClient, FaultInjector, type KubeClient, type KubeObject, resources } from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { AbsentNamespaces, findAbsent } from "../src/controller/absent-namespaces.ts";

/** As on a cluster where an account has Roles in namespaces, and no right beyond them. */
describe("namespaces that are not there", () => {
  let api: ApiServer;
  let client: KubeClient;
  let faults: FaultInjector;

  beforeEach(async () => {
    api = await startApiServer({ tokens: { secret: "operator" } });
    faults = new FaultInjector();
    client = createKubeClient({
      cluster: { server: api.url, token: async () => "secret" },
      transport: [faults.transport],
    });
    await client.create(resources.customResourceDefinitions, elastiServiceCrd() as unknown as KubeObject);
  });
  afterEach(async () => {
    await client.close();
    await api.close();
  });

  /** No Role: nothing of it may be read. @returns gives the rights */
  const deny = (namespace: string, what: readonly ("list" | "get")[] = ["list", "get"]): (() => void) => {
    const rules = [
      ...(what.includes("list") ? [faults.fail({ verb: "list", resource: "elastiservices", namespace }, 403)] : []),
      ...(what.includes("get") ? [faults.fail({ verb: "get", resource: "namespaces", name: namespace }, 403)] : []),
    ];
    return () => {
      for (const rule of rules) rule.remove();
    };
  };

  it("are those of which nothing may be read", async () => {
    deny("gone");
    assert.deepEqual(await findAbsent(client, ["default", "gone"]), ["gone"]);
  });

  it("are not those in which one right is missing, or that cannot be asked for just now", async () => {
    deny("default", ["list"]);
    faults.fail({ verb: "list", resource: "elastiservices", namespace: "busy" }, 503);
    assert.deepEqual(await findAbsent(client, ["default", "busy", "kube-system"]), []);
  });

  it("are not all of them: there would be nothing left", async () => {
    deny("gone");
    deny("away");
    assert.deepEqual(await findAbsent(client, ["gone"]), []);
    assert.deepEqual(await findAbsent(client, ["gone", "away"]), []);
    assert.deepEqual(await findAbsent(client, []), []);
  });

  it("are looked for twice a minute, until the first is there", async () => {
    const clock = new ManualClock();
    const give = deny("gone");
    const seen = Promise.withResolvers<string>();
    const absent = new AbsentNamespaces({ client, clock, logger: silentLogger, onThere: seen.resolve }, ["gone"]);
    absent.start();
    await clock.advance(30_000);
    // asked, and refused: it waits again
    while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    give();
    await clock.advance(30_000);
    assert.equal(await seen.promise, "gone");
    assert.equal(clock.pendingTimers, 0);
    absent.close();
  });

  it("are not looked for any more once it is closed", async () => {
    const clock = new ManualClock();
    const absent = new AbsentNamespaces({ client, clock, logger: silentLogger, onThere: () => assert.fail() }, [
      "gone",
    ]);
    absent.start();
    absent.close();
    assert.equal(clock.pendingTimers, 0);
  });
});
