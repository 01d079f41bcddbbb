import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig, redactConfig } from "@elasti/core";
import { configProblems, operatorSettings } from "../src/config.ts";

const least = { POD_NAME: "operator-0", POD_NAMESPACE: "elasti" };

describe("operatorSettings", () => {
  it("needs name and namespace of the pod alone", () => {
    const config = readConfig(operatorSettings, least);
    assert.equal(config.port, 8013);
    assert.equal(config.pollingIntervalMs, 30_000);
    assert.equal(config.resolverService, "elasti-resolver");
    assert.deepEqual(config.watchNamespaces, []);
    assert.deepEqual(config.staticTokens, {});
    assert.deepEqual(configProblems(config), []);
  });

  it("understands KubeElasti's names", () => {
    const config = readConfig(operatorSettings, {
      ...least,
      POLLING_INTERVAL: "5s",
      WATCH_NAMESPACES: "shop, blog",
      PROMETHEUS_TRIGGER_SERVER_ADDRESS: "http://prometheus:9090",
      PROMETHEUS_TRIGGER_AUTHORIZATION_HEADER: "Basic abc",
    });
    assert.equal(config.pollingIntervalMs, 5_000);
    assert.deepEqual(config.watchNamespaces, ["shop", "blog"]);
    assert.ok(Object.values(config).includes("http://prometheus:9090"));
    assert.ok(Object.values(config).includes("Basic abc"));
  });

  it("names every setting that cannot be used, without secrets", () => {
    const env = {
      ...least,
      POLLING_INTERVAL: "often",
      ELASTI_OPERATOR_PORT: "70000",
      PROMETHEUS_TRIGGER_SERVER_ADDRESS: "prometheus:9090",
      ELASTI_STATIC_TOKENS: '{"very-secret":7}',
    };
    assert.throws(
      () => readConfig(operatorSettings, env),
      (error: Error) => {
        for (const name of Object.keys(env).slice(2)) assert.match(error.message, new RegExp(name));
        assert.doesNotMatch(error.message, /very-secret/);
        return true;
      },
    );
  });

  it("prints no secret", () => {
    const config = readConfig(operatorSettings, {
      ...least,
      ELASTI_STATIC_TOKENS: '{"very-secret":"account"}',
      PROMETHEUS_TRIGGER_AUTHORIZATION_HEADER: "Bearer very-secret",
    });
    assert.deepEqual(config.staticTokens, { "very-secret": "account" });
    assert.doesNotMatch(JSON.stringify(redactConfig(operatorSettings, config)), /very-secret/);
  });

  it("wants times of the Lease in order", () => {
    const config = readConfig(operatorSettings, {
      ...least,
      ELASTI_LEASE_DURATION: "5s",
      ELASTI_LEASE_RENEW_DEADLINE: "5s",
      ELASTI_LEASE_RETRY_PERIOD: "6s",
      ELASTI_KUBE_TIMEOUT: "5s",
    });
    assert.deepEqual(
      configProblems(config).map(({ field }) => field),
      ["ELASTI_LEASE_RENEW_DEADLINE", "ELASTI_LEASE_RETRY_PERIOD", "ELASTI_KUBE_TIMEOUT"],
    );
  });
});
