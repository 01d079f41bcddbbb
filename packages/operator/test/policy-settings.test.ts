import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig, redactConfig } from "@elasti/core";
import { configProblems, operatorSettings } from "../src/config.ts";

const least = { POD_NAME: "operator-0", POD_NAMESPACE: "elasti", ELASTI_SCALING_ENABLED: "true" };
const url = "postgres://ada:secret@db:5432/elasti";
const problemsOf = (env: Record<string, string>) =>
  configProblems(readConfig(operatorSettings, { ...least, ...env })).map(({ field, message }) => `${field} ${message}`);

describe("settings of the policy engine", () => {
  it("are off, and then need no database", () => {
    const { ELASTI_SCALING_ENABLED: _, ...off } = least;
    const config = readConfig(operatorSettings, off);
    assert.equal(config.scalingEnabled, false);
    assert.deepEqual(configProblems(config), []);
  });

  it("have the defaults that others have", () => {
    const config = readConfig(operatorSettings, { ...least, DATABASE_URL: url });
    assert.equal(config.scalingIntervalMs, 30_000);
    assert.equal(config.scalingDefaultCooldown, 300);
    assert.equal(config.scalingDryRun, false);
    assert.deepEqual(configProblems(config), []);
  });

  it("want one database, and not two", () => {
    assert.match(problemsOf({}).join(), /DATABASE_URL or ELASTI_SCALING_SQLITE_FILE is required/);
    const both = problemsOf({ DATABASE_URL: url, ELASTI_SCALING_SQLITE_FILE: "/tmp/p.db" }).join();
    assert.match(both, /expected one of both/);
  });

  it("refuse a file where there is more than one replica, and say why", () => {
    const file = { ELASTI_SCALING_SQLITE_FILE: "/tmp/p.db" };
    assert.deepEqual(problemsOf(file), []);
    assert.deepEqual(problemsOf({ ...file, ELASTI_OPERATOR_REPLICAS: "1" }), []);
    assert.match(problemsOf({ ...file, ELASTI_OPERATOR_REPLICAS: "2" }).join(), /2 replicas.*use DATABASE_URL/);
    assert.deepEqual(problemsOf({ DATABASE_URL: url, ELASTI_OPERATOR_REPLICAS: "2" }), []);
  });

  it("print no secret", () => {
    const config = readConfig(operatorSettings, {
      ...least,
      DATABASE_URL: url,
      ELASTI_SCALING_TOKEN: "secret-of-the-installation",
      ELASTI_SCALING_SQL_CONNECTIONS: `{"orders":"${url}"}`,
    });
    assert.doesNotMatch(JSON.stringify(redactConfig(operatorSettings, config)), /secret/);
    const wrong = { ...least, DATABASE_URL: "mysql://ada:secret@db", ELASTI_SCALING_TOKEN: "secret" };
    assert.throws(
      () => readConfig(operatorSettings, wrong),
      (error: Error) => /DATABASE_URL.*ELASTI_SCALING_TOKEN/.test(error.message) && !/ada|@db/.test(error.message),
    );
  });
});
