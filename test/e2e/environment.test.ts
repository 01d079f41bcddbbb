import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, it } from "node:test";

const packages = join(import.meta.dirname, "..", "..", "packages");

/** Runs a program with this environment alone, to its end. */
async function run(program: "operator" | "resolver", env: Record<string, string>) {
  const path = join(packages, program, "bin", `elasti-${program}.mjs`);
  const child = spawn(process.execPath, [path], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = await once(child, "close");
  return { code, output };
}

describe("environment variables that do not parse", { concurrency: 4 }, () => {
  const pod = { POD_NAME: "pod", POD_NAMESPACE: "elasti-system", POD_IP: "127.0.0.1" };

  it("end the operator with 1 and a line that names them all", async () => {
    const { code, output } = await run("operator", {
      POD_NAME: "pod",
      POLLING_INTERVAL: "soon",
      ELASTI_OPERATOR_PORT: "http",
      PROMETHEUS_TRIGGER_SERVER_ADDRESS: "prometheus:9090",
      ELASTI_STATIC_TOKENS: "not-json-secret",
    });
    assert.equal(code, 1);
    assert.match(output, /POD_NAMESPACE is required/);
    assert.match(output, /POLLING_INTERVAL \\?"soon\\?" cannot be used: expected a duration such as 30s/);
    assert.match(output, /ELASTI_OPERATOR_PORT \\?"http\\?" cannot be used: expected a whole number from 0 to 65535/);
    assert.match(output, /PROMETHEUS_TRIGGER_SERVER_ADDRESS .*expected an address such as/);
    assert.match(output, /ELASTI_STATIC_TOKENS its value cannot be used/);
    assert.doesNotMatch(output, /not-json-secret/);
  });

  it("end the operator when they contradict each other", async () => {
    const { code, output } = await run("operator", { ...pod, ELASTI_LEASE_DURATION: "5s", ELASTI_KUBE_TIMEOUT: "6s" });
    assert.equal(code, 1);
    assert.match(
      output,
      /ELASTI_LEASE_RENEW_DEADLINE 10000ms cannot be used: expected less than ELASTI_LEASE_DURATION/,
    );
    assert.match(output, /ELASTI_KUBE_TIMEOUT 6000ms cannot be used: expected less than ELASTI_LEASE_DURATION/);
  });

  it("end the resolver with 1 and a line that names them all", async () => {
    const { code, output } = await run("resolver", {
      POD_NAME: "pod",
      ELASTI_MAX_HOLDS: "many",
      ELASTI_SETTLE_TIME: "-1s",
    });
    assert.equal(code, 1);
    for (const name of ["POD_NAMESPACE", "POD_IP", "ELASTI_MAX_HOLDS", "ELASTI_SETTLE_TIME"])
      assert.match(output, new RegExp(`${name} `), name);
  });

  it("end both when there is no cluster to be found", async () => {
    for (const program of ["operator", "resolver"] as const) {
      const { code, output } = await run(program, { ...pod, KUBECONFIG: "/nonexistent/kubeconfig" });
      assert.equal(code, 1);
      assert.match(output, /\/nonexistent\/kubeconfig/);
    }
  });
});
