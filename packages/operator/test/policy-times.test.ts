import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import { type HistoryEntry, openStore } from "@elasti/policies";
import { startOperator } from "./kit/operator.ts";

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const token = "a-token-of-the-installation";
async function start(env: Record<string, string>): Promise<(path: string, body?: unknown) => Promise<unknown>> {
  const world = await startOperator({
    ELASTI_SCALING_ENABLED: "true",
    ELASTI_SCALING_TOKEN: token,
    ELASTI_LEASE_DURATION: "1s",
    ELASTI_LEASE_RENEW_DEADLINE: "800ms",
    ELASTI_LEASE_RETRY_PERIOD: "100ms",
    ELASTI_KUBE_TIMEOUT: "900ms",
    ...env,
  });
  closers.push(() => world.close());
  await world.app("web");
  return async (path, body) => {
    const response = await fetch(`${world.url}/api/v1/scaling${path}`, {
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    });
    assert.ok(response.ok, `${path}: ${response.status}`);
    return await response.json();
  };
}

describe("the times of the policy engine, by its environment", () => {
  it("evaluates in every interval: three times before the one that it has by default has passed", {
    timeout: 20_000,
  }, async () => {
    const asked = Promise.withResolvers<void>();
    let times = 0;
    const prometheus = createServer((request, response) => {
      request.resume();
      times += 1;
      if (times === 3) asked.resolve();
      response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result: [] } }));
    });
    await new Promise<void>((resolve) => prometheus.listen(0, "127.0.0.1", resolve));
    closers.push(() => new Promise((resolve) => prometheus.close(resolve).closeAllConnections()));
    const call = await start({
      ELASTI_SCALING_SQLITE_FILE: ":memory:",
      ELASTI_SCALING_EVALUATION_INTERVAL: "200ms",
      ELASTI_SCALING_PROMETHEUS_URL: `http://127.0.0.1:${(prometheus.address() as AddressInfo).port}`,
    });
    await call("/policies", {
      name: "p",
      target_type: "workload",
      target_ref: { namespace: "default", name: "web" },
      scale_up_rules: [{ metric: { source: "prometheus", query: "load" }, operator: "gt", threshold: 10, scale_by: 1 }],
    });
    await asked.promise;
  });

  it("forgets history at the end of its time, and not before", async () => {
    const folder = await mkdtemp(join(tmpdir(), "elasti-retention-"));
    closers.push(() => rm(folder, { recursive: true }));
    const file = join(folder, "policies.db");
    const ages = [30, 600, 7_200];
    const store = await openStore({ file, clock: systemClock, logger: silentLogger });
    await store.history.append(ages.map(entryOf));
    await store.close();
    const call = await start({ ELASTI_SCALING_SQLITE_FILE: file, ELASTI_SCALING_RETENTION: "1h" });
    const until = AbortSignal.timeout(15_000);
    let kept: string[] = [];
    do {
      until.throwIfAborted();
      const { history } = (await call("/history")) as { history: HistoryEntry[] };
      kept = history.map(({ reason }) => reason);
    } while (kept.includes("7200 s ago"));
    assert.deepEqual(kept, ["30 s ago", "600 s ago"]);
  });
});

const entryOf = (ageSeconds: number): HistoryEntry => ({
  id: crypto.randomUUID(),
  kind: "action",
  policy_id: null,
  policy_name: "p",
  action: "scale_up",
  outcome: "executed",
  target_type: "workload",
  target_id: null,
  target_ref: { namespace: "default", name: "web" },
  previous_replicas: 1,
  new_replicas: 2,
  reason: `${ageSeconds} s ago`,
  triggered_by: "operator",
  dry_run: false,
  details: {},
  executed_at: new Date(Date.now() - ageSeconds * 1_000).toISOString(),
});
