import assert from "node:assert/strict";
import { test } from "node:test";
import { ElastiError, readConfig } from "@elasti/core";
import { addressSet, settings } from "../src/config.ts";

const pod = { POD_NAME: "resolver-1", POD_NAMESPACE: "elasti", POD_IP: "10.0.0.7" };

test("a pod's own name, namespace and address are all that must be given", () => {
  const config = readConfig(settings, pod);
  assert.equal(config.bindAddress, "::");
  assert.equal(config.internalPort, 8013);
  assert.equal(config.hostPort, 8012);
  assert.equal(config.maxHolds, 20_000);
  assert.deepEqual(config.trustedProxies, []);
});

test("reports all problems at once", () => {
  assert.throws(
    () => readConfig(settings, { ELASTI_MAX_HOLDS: "-1", ELASTI_KEEP_ALIVE: "long" }),
    (error) =>
      error instanceof ElastiError &&
      ["POD_NAME", "POD_NAMESPACE", "POD_IP", "ELASTI_MAX_HOLDS", "ELASTI_KEEP_ALIVE"].every((name) =>
        error.message.includes(name),
      ),
  );
});

test("trusted proxies are addresses and networks of both families", () => {
  const set = addressSet(["10.0.0.0/8", "192.0.2.7", "fd00::/8"]);
  assert.equal(set.check("10.1.2.3"), true);
  assert.equal(set.check("192.0.2.7"), true);
  assert.equal(set.check("192.0.2.8"), false);
  assert.equal(set.check("fd00::1", "ipv6"), true);
  for (const bad of ["example.com", "10.0.0.0/99", "10.0.0.0/x"])
    assert.throws(() => addressSet([bad]), /ELASTI_TRUSTED_PROXIES/);
});
