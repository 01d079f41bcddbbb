import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { HistoryEntry } from "@elasti/policies";
import { startWorld, type World } from "../../../policies/test/http/kit.ts";
import { policies } from "../../src/policies/policies.ts";

let world: World;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "elasti-policies-"));
});
after(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  world = await startWorld();
});
afterEach(() => world.close());

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command against the API; `env` in place of what it is told otherwise. */
async function run(args: string, env?: Readonly<Record<string, string>>): Promise<Result> {
  let [out, err] = ["", ""];
  const code = await policies(args.split(" "), {
    env: env ?? { ELASTI_POLICIES_SERVER: new URL(world.url).origin, ELASTI_POLICIES_TOKEN: "admin" },
    write: (text) => {
      out += text;
    },
    writeError: (text) => {
      err += text;
    },
    signal: new AbortController().signal,
  });
  return { code, out, err };
}

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const orders = `name: orders
target_type: workload
target_ref: { namespace: shop, name: orders }
scale_up_rules:
  - metric: queue
    operator: gt
    threshold: 100
    duration: 5m
    scale_by: 50%
schedules:
  - start: "0 8 * * 1-5"
    end: "0 18 * * 1-5"
    timezone: Europe/Berlin
    min_replicas: 3
`;
const carts = `name: carts
target_type: cdc-worker
max_replicas: 4
`;

const writes = (): Promise<number> => world.store.policies.revision();

describe("elasti policies apply", () => {
  it("makes what is not there, showing it, and then has nothing more to do", async () => {
    const path = await file("all.yaml", `${orders}---\n${carts}`);
    const first = await run(`apply -f ${path}`);
    assert.deepEqual([first.code, first.err], [0, ""]);
    assert.match(first.out, /policy\/orders \(.*all\.yaml, document 1\) is new\n\+ name: orders\n/);
    assert.match(first.out, /policy\/orders created\n/);
    assert.match(first.out, /policy\/carts created\n/);
    const revision = await writes();
    const again = await run(`apply -f ${path}`);
    assert.deepEqual(again, { code: 0, out: "policy/orders unchanged\npolicy/carts unchanged\n", err: "" });
    assert.equal(await writes(), revision);
  });

  it("changes what differs, showing what, and keeps the ids of rules that stay", async () => {
    await run(`apply -f ${await file("one.yaml", orders)}`);
    const was = await world.store.policies.byName("orders");
    const path = await file("one.yaml", orders.replace("min_replicas: 3", "min_replicas: 4"));
    const { code, out } = await run(`apply -f ${path}`);
    assert.equal(code, 0);
    assert.match(out, /\n- {5}min_replicas: 3\n\+ {5}min_replicas: 4\n/);
    assert.match(out, /policy\/orders changed\n/);
    const is = await world.store.policies.byName("orders");
    assert.equal(is?.id, was?.id);
    assert.equal(is?.scale_up_rules[0]?.id, was?.scale_up_rules[0]?.id);
  });

  it("gives what a file no longer says its default", async () => {
    const full = `${carts}description: many\nmax_hourly_cost: 5\nprice_per_replica_hour: 1\nshadow: true\n`;
    await run(`apply -f ${await file("two.yaml", full)}`);
    const { out } = await run(`apply -f ${await file("two.yaml", carts)}`);
    assert.match(out, /policy\/carts changed/);
    const is = await world.store.policies.byName("carts");
    assert.deepEqual(
      [is?.description, is?.max_hourly_cost, is?.price_per_replica_hour, is?.shadow],
      ["", null, null, false],
    );
    assert.match((await run(`apply -f ${join(folder, "two.yaml")}`)).out, /unchanged/);
  });

  it("writes nothing where one of several cannot be used, and says all that is wrong, with file, document and field", async () => {
    const wrong = "name: wrong\ntarget_type: pod\nmin_replicas: 20\n";
    const path = await file("bad.yaml", `${orders}---\n${wrong}---\nname: 7\n`);
    const { code, out, err } = await run(`apply -f ${path}`);
    assert.deepEqual([code, out, await writes()], [2, "", 0]);
    assert.match(err, /bad\.yaml, document 2 \(wrong\): target_type: "pod" is no configured target type/);
    assert.match(err, /bad\.yaml, document 2 \(wrong\): min_replicas: 20 is above/);
    assert.match(err, /bad\.yaml, document 3: name: is required/);
  });

  it("knows a name that comes twice, a text that is no YAML, and a file that is not there", async () => {
    const twice = await file("twice.yaml", `${carts}---\n${carts}`);
    assert.match((await run(`apply -f ${twice}`)).err, /document 2: a policy of the name "carts" is in .*document 1/);
    assert.match((await run(`apply -f ${await file("no.yaml", "a: [")}`)).err, /no\.yaml, document 1: .*line 1/s);
    assert.match((await run(`apply -f ${join(folder, "none.yaml")}`)).err, /none\.yaml: ENOENT/);
    assert.match((await run(`apply -f ${await file("empty.yaml", "---\n---\n")}`)).err, /there is no policy in it/);
  });

  it("does not write over what somebody else has changed meanwhile", async () => {
    await run(`apply -f ${await file("three.yaml", carts)}`);
    const path = await file("three.yaml", carts.replace("4", "5"));
    const { replace } = world.store.policies;
    world.store.policies.replace = async (draft, version) => {
      world.store.policies.replace = replace.bind(world.store.policies);
      await world.store.policies.replace({ ...draft, max_replicas: 9 }, version);
      return await world.store.policies.replace(draft, version);
    };
    const { code, err } = await run(`apply -f ${path}`);
    assert.equal(code, 2);
    assert.match(err, /somebody else has changed it meanwhile/);
    assert.equal((await world.store.policies.byName("carts"))?.max_replicas, 9);
  });
});

describe("elasti policies diff", () => {
  it("ends with 1 where something differs, with 0 where nothing does, and changes nothing", async () => {
    const path = await file("diff.yaml", orders);
    const before = await run(`diff -f ${path}`);
    assert.equal(before.code, 1);
    assert.match(before.out, /is new\n\+ name: orders/);
    assert.equal(await writes(), 0);
    await run(`apply -f ${path}`);
    assert.deepEqual(await run(`diff -f ${path}`), { code: 0, out: "", err: "" });
    await file("diff.yaml", orders.replace("5m", "6m"));
    const after = await run(`diff -f ${path}`);
    assert.equal(after.code, 1);
    assert.match(after.out, /- {5}duration_seconds: 300\n\+ {5}duration_seconds: 360\n/);
  });
});

describe("elasti policies get", () => {
  it("writes files that apply takes and that change nothing", async () => {
    const when =
      "when: { all: [{ metric: latency, operator: gt, threshold: 0.5, duration: 1m }, { metric: queue, operator: gt, threshold: 1 }] }";
    const nested = `${carts}scale_to_zero: true\nscale_up_rules: [{ ${when}, scale_by: 2, name: busy }]\n`;
    await run(`apply -f ${await file("in.yaml", `${orders}---\n${nested}`)}`);
    const revision = await writes();
    const { out } = await run("get -o yaml");
    assert.ok(!/\bid:|version:|created_at/.test(out), out);
    const { code, out: applied } = await run(`apply -f ${await file("out.yaml", out)}`);
    assert.deepEqual([code, applied], [0, "policy/carts unchanged\npolicy/orders unchanged\n"]);
    assert.equal(await writes(), revision);
  });

  it("shows a table, and tells of names that are not there", async () => {
    await run(`apply -f ${await file("get.yaml", `${orders}---\n${carts}`)}`);
    const { out } = await run("get");
    const rows = out
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
    assert.deepEqual(rows, [
      ["NAME", "TYPE", "TARGET", "MODE", "REPLICAS", "RULES", "SCHEDULES"],
      ["carts", "cdc-worker", "-", "on", "1-4", "0", "0"],
      ["orders", "workload", "shop/orders", "on", "1-10", "1", "1"],
    ]);
    assert.match((await run("get -n shop")).out, /orders/);
    assert.doesNotMatch((await run("get -n shop")).out, /carts/);
    assert.deepEqual(await run("get orders nobody -o json").then(({ code, err }) => [code, err]), [
      2,
      'there is no policy "nobody"\n',
    ]);
  });
});

describe("elasti policies delete", () => {
  it("removes by name and by file", async () => {
    const path = await file("del.yaml", `${orders}---\n${carts}`);
    await run(`apply -f ${path}`);
    assert.deepEqual(await run("delete carts"), { code: 0, out: "policy/carts deleted\n", err: "" });
    assert.deepEqual(await run(`delete -f ${path}`), {
      code: 2,
      out: "policy/orders deleted\n",
      err: 'there is no policy "carts"\n',
    });
    assert.deepEqual(await run(`delete -f ${path} --ignore-not-found`), { code: 0, out: "", err: "" });
  });
});

describe("elasti policies history", () => {
  it("shows what was done as a table, newest first, and what was decided where it is asked for", async () => {
    await run(`apply -f ${await file("his.yaml", `${orders}---\n${carts}`)}`);
    const policy = (await world.store.policies.byName("orders"))!;
    const entry = (more: Partial<HistoryEntry>): HistoryEntry => ({
      id: crypto.randomUUID(),
      kind: "action",
      policy_id: policy.id,
      policy_name: "orders",
      action: "scale_up",
      outcome: "executed",
      target_type: "workload",
      target_id: null,
      target_ref: policy.target_ref,
      previous_replicas: 2,
      new_replicas: 4,
      reason: "queue is 150\u001b[2J",
      triggered_by: "rule:x",
      dry_run: false,
      details: null,
      executed_at: "2026-05-04T10:00:00.000Z",
      ...more,
    });
    await world.store.history.append([
      entry({}),
      entry({ previous_replicas: 4, new_replicas: 6, executed_at: "2026-05-04T11:00:00.000Z" }),
      entry({ kind: "decision", outcome: "held_back", executed_at: "2026-05-04T11:30:00.000Z" }),
    ]);
    const { out } = await run("history orders");
    assert.deepEqual(
      out
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/ {2,}/)),
      [
        ["TIME", "POLICY", "TARGET", "ACTION", "OUTCOME", "REPLICAS", "REASON"],
        ["2026-05-04T11:00:00Z", "orders", "shop/orders", "scale_up", "executed", "4 -> 6", "queue is 150 [2J"],
        ["2026-05-04T10:00:00Z", "orders", "shop/orders", "scale_up", "executed", "2 -> 4", "queue is 150 [2J"],
      ],
    );
    assert.match((await run("history --decisions --limit 1")).out, /held_back/);
    assert.equal((await run("history carts")).out, "nothing was done\n");
    await run("delete orders");
    assert.equal((await run("history orders")).out, out);
    assert.match((await run("history nobody")).err, /there is no policy "nobody"/);
  });
});

describe("elasti policies says what is wrong", () => {
  it("where nobody answers", async () => {
    const { code, err } = await run("get --server http://127.0.0.1:1 --token x");
    assert.equal(code, 2);
    assert.match(err, /http:\/\/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED.*port-forward/);
  });

  it("where the token is none, or missing, and never prints it", async () => {
    const { code, err } = await run("get --token s3cret");
    assert.equal(code, 2);
    assert.match(err, /Who asks is not known.*--token-file/);
    assert.doesNotMatch(err, /s3cret/);
    const origin = new URL(world.url).origin;
    assert.match((await run("get", { ELASTI_POLICIES_SERVER: origin })).err, /Who asks is not known/);
    const none = join(folder, "no-token");
    assert.match((await run(`get --token-file ${none}`)).err, /the token cannot be read: ENOENT/);
  });

  it("where the caller may not", async () => {
    const { code, err } = await run(`apply -f ${await file("may.yaml", orders)} --token reader`);
    assert.equal(code, 2);
    assert.match(err, /may\.yaml, document 1 \(orders\): Not allowed: reader may not create/);
  });

  it("where something else answers", async () => {
    const origin = new URL(world.url).origin;
    const { code, err } = await run(`get --server ${origin}/elsewhere`);
    assert.equal(code, 2);
    assert.match(err, /is not the API of the policies/);
  });

  it("takes the token out of a file", async () => {
    const token = await file("token", "admin\n");
    assert.equal((await run(`get --token-file ${token}`)).code, 0);
  });

  const wrong: [string, RegExp][] = [
    ["apply", /needs -f/],
    ["apply orders -f x", /takes files with -f, and no name/],
    ["delete", /needs names or -f/],
    ["get -f x", /takes no file/],
    ["get -o xml", /expected one of table, yaml, json/],
    ["history --limit 0", /from 1 to 1000/],
    ["drop", /there is no "policies drop": expected one of apply/],
    ["get --surplus", /surplus/],
    ["get --server orders", /is no address/],
  ];
  for (const [args, message] of wrong) {
    it(`of the arguments: ${args}`, async () => {
      const { code, err } = await run(args);
      assert.equal(code, 2);
      assert.match(err, message);
    });
  }

  it("where no server is named", async () => {
    assert.match((await run("get", {})).err, /--server or ELASTI_POLICIES_SERVER is missing/);
  });

  it("and helps who asks", async () => {
    const { code, out } = await run("--help", {});
    assert.equal(code, 0);
    assert.match(out, /usage: elasti policies/);
  });
});
