import assert from "node:assert/strict";
import { test } from "node:test";
import { type ElastiError, Metrics, silentLogger, systemClock } from "@elasti/core";
import { openPolicies, type PoliciesDeps, type PoliciesSettings } from "../src/index.ts";

const settings: PoliciesSettings = {
  databaseUrl: "",
  sqliteFile: ":memory:",
  intervalMs: 1_000,
  defaultCooldownSeconds: 300,
  dryRun: false,
  targetTypes: {},
  metrics: {},
  sqlConnections: {},
  token: "",
  retentionMs: 1_000,
  prometheusUrl: "",
  prometheusAuthorization: "",
  allowedServers: [],
  audiences: [],
  namespaces: [],
};
/** Nothing of the cluster is asked before the settings have been read. */
const deps = { clock: systemClock, logger: silentLogger, metrics: new Metrics() } as unknown as PoliciesDeps;

test("says all that is wrong with the settings at once, and no secret", async () => {
  const opened = openPolicies(
    {
      ...settings,
      targetTypes: { workload: { executor: "scale" }, mine: { executor: "fly" }, Bad: { executor: "scale" } },
      metrics: { lag: { source: "none" } },
      sqlConnections: { orders: "mysql://ada:secret@db/orders" },
    },
    deps,
  );
  await assert.rejects(opened, (error: ElastiError) => {
    assert.equal(error.code, "ELASTI_POLICY_SETTINGS");
    const fields = (error.details.errors as { field: string }[]).map(({ field }) => field).join(" ");
    for (const expected of ["TYPES.workload", "TYPES.mine.executor", "TYPES.Bad", "METRICS.lag", "CONNECTIONS.orders"])
      assert.match(fields, new RegExp(expected));
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});
