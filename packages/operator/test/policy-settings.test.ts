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

  it("look at DATABASE_URL only where they are on: others have a variable of that name, too", () => {
    const theirs = { DATABASE_URL: "mysql://ada:secret@db/shop" };
    assert.deepEqual(problemsOf({ ...theirs, ELASTI_SCALING_ENABLED: "false" }), []);
    const problems = problemsOf(theirs).join();
    assert.match(problems, /^DATABASE_URL cannot be used.*expected an address such as postgres:\/\//);
    assert.doesNotMatch(problems, /ada:|secret|@db/);
    for (const good of [url, "postgresql://db/elasti"]) assert.deepEqual(problemsOf({ DATABASE_URL: good }), []);
  });

  it("are read from the environment: how often policies are evaluated, how long history is kept", () => {
    const times = { ELASTI_SCALING_EVALUATION_INTERVAL: "1m30s", ELASTI_SCALING_RETENTION: "14d" };
    const { scalingIntervalMs, scalingRetentionMs } = readConfig(operatorSettings, { ...least, ...times });
    assert.deepEqual([scalingIntervalMs, scalingRetentionMs], [90_000, 14 * 86_400_000]);
    assert.equal(readConfig(operatorSettings, least).scalingRetentionMs, 90 * 86_400_000);
    for (const [name, wrong] of [
      ["ELASTI_SCALING_EVALUATION_INTERVAL", "99ms"],
      ["ELASTI_SCALING_EVALUATION_INTERVAL", "2h"],
      ["ELASTI_SCALING_RETENTION", "30s"],
      ["ELASTI_SCALING_RETENTION", "often"],
    ] as const)
      assert.throws(() => readConfig(operatorSettings, { ...least, [name]: wrong }), new RegExp(`${name}.*${wrong}`));
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
    const connections = '["postgres://ada:secret@db"]';
    const wrong = { ...least, ELASTI_SCALING_SQL_CONNECTIONS: connections, ELASTI_SCALING_TOKEN: "secret" };
    assert.throws(
      () => readConfig(operatorSettings, wrong),
      (error: Error) => /SQL_CONNECTIONS.*ELASTI_SCALING_TOKEN/.test(error.message) && !/ada|@db/.test(error.message),
    );
  });
});
