import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import { type Deployment, Reflector, resources } from "@elasti/kube";
import { startOperator } from "../../../operator/test/kit/operator.ts";
import { policies } from "../../src/policies/policies.ts";

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

describe("elasti policies and an operator", () => {
  it("scales what a file says, tells of it, and leaves alone what is said again", async () => {
    const world = await startOperator({
      ELASTI_SCALING_ENABLED: "true",
      ELASTI_SCALING_SQLITE_FILE: ":memory:",
      ELASTI_SCALING_EVALUATION_INTERVAL: "200ms",
      ELASTI_SCALING_TOKEN: "a-token-of-the-installation",
    });
    closers.push(() => world.close());
    await world.app("web");
    const seen = new Reflector<Deployment>({
      client: world.client,
      resource: resources.deployments,
      clock: systemClock,
      logger: silentLogger,
    });
    await seen.start();
    closers.push(() => seen.close());
    const folder = await mkdtemp(join(tmpdir(), "elasti-policies-"));
    closers.push(() => rm(folder, { recursive: true, force: true }));
    const run = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
      let [out, err] = ["", ""];
      const code = await policies(args, {
        env: { ELASTI_POLICIES_SERVER: world.url, ELASTI_POLICIES_TOKEN: "a-token-of-the-installation" },
        write: (text) => {
          out += text;
        },
        writeError: (text) => {
          err += text;
        },
        signal: AbortSignal.timeout(20_000),
      });
      return { code, out, err };
    };
    const path = join(folder, "web.yaml");
    await writeFile(
      path,
      "name: web\ntarget_type: workload\ntarget_ref: { namespace: default, name: web }\nmin_replicas: 3\n",
    );

    const applied = await run("apply", "-f", path);
    assert.deepEqual([applied.code, applied.err], [0, ""]);
    await seen.store.until(
      (store) => (store.get("default", "web")?.spec.replicas === 3 ? true : undefined),
      AbortSignal.timeout(20_000),
    );
    assert.deepEqual(await run("apply", "-f", path), { code: 0, out: "policy/web unchanged\n", err: "" });
    // history is written behind what was done
    let history = await run("history", "web");
    const until = AbortSignal.timeout(10_000);
    while (!history.out.includes("executed")) {
      until.throwIfAborted();
      history = await run("history", "web");
    }
    assert.match(history.out, /web +default\/web +scale_up +executed +1 -> 3 +1 -> 3: at least 3/);
    assert.equal((await run("delete", "web")).out, "policy/web deleted\n");
  });
});
