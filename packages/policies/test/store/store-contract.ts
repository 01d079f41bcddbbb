import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import type { HistoryEntry, HistoryFilter, PolicyFilter, Store } from "../../src/index.ts";
import { draft, entry, momentOf, rule, state, windowOf } from "./drafts.ts";

const code = (expected: string) => ({ code: expected });

/** What every store does, whatever the database. Called within a `describe`. */
export function storeContract(open: (clock: ManualClock) => Promise<Store>): void {
  const clock = new ManualClock();
  let store: Store;
  let term = 0;
  before(async () => {
    store = await open(clock);
    term = await store.states.begin();
  });
  after(() => store?.close());

  it("gives a policy back as it was given", async () => {
    const given = draft({
      description: "by day",
      target_id: randomUUID(),
      max_hourly_cost: 1.25,
      price_per_replica_hour: 0.1,
      scale_to_zero: true,
      shadow: true,
      behavior: { scale_up: { stabilization_window_seconds: 30, max_percent_per_period: 100 } },
      scale_up_rules: [
        rule({ name: "busy", scale_by: "50%" }),
        rule({
          when: {
            all: [
              {
                metric: { source: "prometheus", query: 'sum(rate(x{a="b\\\\c"}[1m]))' },
                operator: "gte",
                threshold: 0.5,
              },
              { any: [{ metric: "queue", operator: "lt", threshold: -1e30, duration_seconds: 5 }] },
            ],
          },
        }),
      ],
      scale_down_rules: [rule({ scale_by: "-25%" }), rule({ scale_by: -1, duration_seconds: 0 })],
      schedules: [
        windowOf({ name: "day" }),
        momentOf({ enabled: false }),
        windowOf({ end: undefined, duration: "8h" }),
      ].map((schedule) => JSON.parse(JSON.stringify(schedule))),
    });
    const now = new Date(clock.now()).toISOString();
    const made = await store.policies.create(given);
    assert.deepEqual(made, { ...given, version: 1, created_at: now, updated_at: now });
    assert.deepEqual(await store.policies.get(given.id), made);
    assert.deepEqual(await store.policies.get(given.id.toUpperCase()), made);
    assert.deepEqual(await store.policies.byName(given.name), made);
  });

  it("keeps a policy without a target", async () => {
    const made = await store.policies.create(draft({ target_ref: null }));
    assert.equal((await store.policies.get(made.id))?.target_ref, null);
  });

  it("knows nothing of what is not there, whatever it is called", async () => {
    for (const id of [randomUUID(), "", "1", "' or 1=1 --"]) {
      assert.equal(await store.policies.get(id), undefined);
      assert.equal(await store.states.get(id), undefined);
      await assert.rejects(store.policies.delete(id), code("ELASTI_POLICY_NOT_FOUND"));
      await assert.rejects(store.policies.replace(draft({ id })), code("ELASTI_POLICY_NOT_FOUND"));
    }
    assert.equal(await store.policies.byName("nobody\0"), undefined);
  });

  it("refuses a name that is taken, by a new policy and by a change", async () => {
    const first = await store.policies.create(draft());
    const second = await store.policies.create(draft());
    await assert.rejects(store.policies.create(draft({ name: first.name })), code("ELASTI_POLICY_EXISTS"));
    await assert.rejects(store.policies.create(draft({ id: first.id })), {
      code: "ELASTI_POLICY_EXISTS",
      message: "a policy has this id already",
    });
    await assert.rejects(
      store.policies.replace({ ...second, name: first.name }),
      (error: Error & { code: string }) => error.code === "ELASTI_POLICY_EXISTS" && error.message.includes(first.name),
    );
    assert.deepEqual(await store.policies.get(second.id), second);
  });

  it("takes SQL in texts for data", async () => {
    const name = `'); drop table scaling_rules; -- " ; \u2603 ${randomUUID()}`;
    const made = await store.policies.create(draft({ name, scale_up_rules: [rule({ name })] }));
    assert.deepEqual(await store.policies.byName(name), made);
    const { items } = await store.policies.list({ name }, { limit: 10 });
    assert.deepEqual(items, [made]);
    await store.history.append([entry({ policy_name: name, reason: name, target_ref: { namespace: name, name } })]);
    const found = await store.history.list({ namespace: name }, { limit: 10 });
    assert.equal(found.items[0]?.reason, name);
  });

  it("refuses texts that cannot be kept, and mends them in what is only told", async () => {
    await assert.rejects(store.policies.create(draft({ name: "a\0b" })), code("ELASTI_POLICY_INVALID"));
    await assert.rejects(store.policies.create(draft({ description: "\ud800" })), code("ELASTI_POLICY_INVALID"));
    const told = entry({ reason: "a\0b \ud800 \\u0000", details: { "k\0": ["\udfff"] }, policy_name: randomUUID() });
    await store.history.append([told]);
    const { items } = await store.history.list({}, { limit: 1_000 });
    const kept = items.find(({ id }) => id === told.id);
    assert.equal(kept?.reason, "a\ufffdb \ufffd \\u0000");
    assert.deepEqual(kept?.details, { "k\ufffd": ["\ufffd"] });
  });

  it("refuses what its checks refuse", async () => {
    await assert.rejects(
      store.policies.create(draft({ min_replicas: 5, max_replicas: 2 })),
      code("ELASTI_POLICY_INVALID"),
    );
    const turned = draft({ scale_up_rules: [rule({ scale_by: -1 })] });
    await assert.rejects(store.policies.create(turned), code("ELASTI_POLICY_INVALID"));
    assert.equal(await store.policies.get(turned.id), undefined);
  });

  it("keeps the ids of parts that stay the same, in whatever order they come back", async () => {
    const [a, b, c] = [rule(), rule({ scale_by: 3 }), rule({ scale_by: 4 })];
    const made = await store.policies.create(
      draft({
        scale_up_rules: [a, b, c],
        scale_down_rules: [rule({ scale_by: -1 })],
        schedules: [windowOf(), momentOf()],
      }),
    );
    const { id: _, ...sameAsC } = c;
    const changed = await store.policies.replace({
      ...made,
      scale_up_rules: [
        rule({ scale_by: 5 }),
        { id: randomUUID(), name: "new name", ...sameAsC },
        { ...a, duration_seconds: 1 },
      ],
      scale_down_rules: made.scale_down_rules.map((part) => ({ ...part, id: randomUUID() })),
      schedules: made.schedules.map((part) => ({ ...part, id: randomUUID() })).reverse(),
    });
    assert.deepEqual(
      changed.scale_up_rules.map(({ id }) => [a.id, b.id, c.id].indexOf(id)),
      [-1, 2, 0],
    );
    assert.equal(changed.scale_up_rules[1]?.name, "new name");
    assert.deepEqual(changed.scale_down_rules, made.scale_down_rules);
    assert.deepEqual(changed.schedules, [...made.schedules].reverse());
    assert.deepEqual(await store.policies.get(made.id), changed);
  });

  it("gives a part an id of its own where it comes with another policy's", async () => {
    const first = await store.policies.create(draft({ scale_up_rules: [rule(), rule()], schedules: [windowOf()] }));
    const copy = await store.policies.create({ ...first, id: randomUUID(), name: `copy-${randomUUID()}` });
    const twice = await store.policies.replace({
      ...copy,
      scale_up_rules: [copy.scale_up_rules[0]!, copy.scale_up_rules[0]!],
    });
    assert.equal(new Set([...first.scale_up_rules, ...copy.scale_up_rules].map(({ id }) => id)).size, 4);
    assert.equal(new Set(twice.scale_up_rules.map(({ id }) => id)).size, 2);
    assert.notEqual(copy.schedules[0]?.id, first.schedules[0]?.id);
    assert.deepEqual(await store.policies.get(first.id), first);
  });

  it("raises version and time with a change, and keeps the time of the beginning", async () => {
    const made = await store.policies.create(draft());
    await clock.advance(1_000);
    const changed = await store.policies.replace({ ...made, max_replicas: 20 });
    assert.equal(changed.version, 2);
    assert.equal(changed.created_at, made.created_at);
    assert.equal(Date.parse(changed.updated_at) - Date.parse(made.updated_at), 1_000);
    assert.deepEqual(await store.policies.get(made.id), changed);
  });

  it("lets one of two writers win who both start from the same version", async () => {
    const made = await store.policies.create(draft({ scale_up_rules: [rule()] }));
    const results = await Promise.allSettled([
      store.policies.replace({ ...made, description: "one" }, made.version),
      store.policies.replace({ ...made, description: "two" }, made.version),
      store.policies.replace({ ...made, description: "three" }, made.version),
    ]);
    const lost = results.filter((result) => result.status === "rejected");
    assert.equal(lost.length, 2);
    for (const { reason } of lost) assert.equal(reason.code, "ELASTI_POLICY_CHANGED");
    assert.equal((await store.policies.get(made.id))?.version, 2);
    await assert.rejects(store.policies.delete(made.id, 1), code("ELASTI_POLICY_CHANGED"));
    await store.policies.delete(made.id, 2);
    assert.equal(await store.policies.get(made.id), undefined);
  });

  it("never shows a policy with the rules of another version", async () => {
    const made = await store.policies.create(draft({ scale_up_rules: [rule({ scale_by: 1 })] }));
    let writing = true;
    const write = async () => {
      for (let n = 2; n <= 25; n++) {
        await store.policies.replace({ ...made, cooldown_seconds: n, scale_up_rules: [rule({ scale_by: n })] });
      }
      writing = false;
    };
    let seen = 0;
    const read = async () => {
      while (writing) {
        const found = (await store.policies.get(made.id))!;
        if (found.version > 1) assert.equal(found.scale_up_rules[0]?.scale_by, found.cooldown_seconds);
        seen += 1;
      }
    };
    await Promise.all([write(), read(), read()]);
    assert.ok(seen > 0);
  });

  it("raises the revision with every change, and with nothing else", async () => {
    const revisions = [await store.policies.revision()];
    const made = await store.policies.create(draft());
    revisions.push(await store.policies.revision());
    await store.policies.replace(made);
    revisions.push(await store.policies.revision());
    await assert.rejects(store.policies.create(draft({ name: made.name })));
    await store.states.save([state(made.id)], term);
    await store.history.append([entry({ policy_id: made.id })]);
    assert.equal(await store.policies.revision(), revisions.at(-1));
    await store.policies.delete(made.id);
    revisions.push(await store.policies.revision());
    assert.deepEqual(
      revisions.map((revision) => revision - revisions[0]!),
      [0, 1, 2, 3],
    );
  });

  it("lists policies by pages, each once, in the order of their names", async () => {
    const namespace = `ns-${randomUUID()}`;
    const names = ["b", "B", "a b", "\u00e9", "z", "_", "-"].map((name) => `${name}-${namespace}`);
    for (const [index, name] of names.entries()) {
      const target = { namespace, name: "web" };
      await store.policies.create(draft({ name, enabled: index % 2 === 0, target_ref: target }));
    }
    const seen: string[] = [];
    let next: string | null = null;
    do {
      const page = await store.policies.list({ namespace }, { limit: 3, ...(next === null ? {} : { after: next }) });
      assert.equal(page.total, names.length);
      seen.push(...page.items.map(({ name }) => name));
      next = page.next;
    } while (next !== null);
    assert.deepEqual(
      seen,
      [...names].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))),
    );
    const count = async (filter: PolicyFilter) =>
      (await store.policies.list({ namespace, ...filter }, { limit: 1 })).total;
    assert.equal(await count({ enabled: true }), 4);
    assert.equal(await count({ enabled: false }), 3);
    assert.equal(await count({ target_type: "workload" }), 7);
    assert.equal(await count({ target_type: "elastiservice" }), 0);
    assert.equal(await count({ name: names[0]! }), 1);
    assert.equal(await count({ target_type: "\0" }), 0);
    const enabled = await store.policies.enabled();
    assert.ok(enabled.every((policy) => policy.enabled));
    const own = enabled.filter(({ target_ref: target }) => target?.namespace === namespace);
    assert.equal(own.length, 4);
    const versions = await store.policies.enabledVersions();
    assert.deepEqual([...versions].sort(), enabled.map(({ id, version }) => [id, version] as const).sort());
    const { items } = await store.policies.list({ namespace, enabled: false }, { limit: 1 });
    const asked = [own[2]!.id, own[0]!.id.toUpperCase(), items[0]!.id, randomUUID(), "no id"];
    assert.deepEqual(await store.policies.enabled(asked), [own[0], own[2]]);
    assert.deepEqual(await store.policies.enabled([]), []);
  });

  it("refuses a cursor that no list has given", async () => {
    for (const after of ["", "x", "bnVsbA", Buffer.from('["2026-01-01T00:00:00Z","x"]').toString("base64url")]) {
      await assert.rejects(store.history.list({}, { limit: 1, after }), code("ELASTI_POLICY_REQUEST_INVALID"));
      if (after.length < 20) {
        await assert.rejects(store.policies.list({}, { limit: 1, after }), code("ELASTI_POLICY_REQUEST_INVALID"));
      }
    }
  });

  it("keeps states, writes many at once, and nothing of policies that are gone", async () => {
    const made = await Promise.all([draft(), draft()].map((given) => store.policies.create(given)));
    const [first, second] = made.map(({ id }) => state(id));
    await store.states.save([first!, second!, state(randomUUID())], term);
    assert.deepEqual(await store.states.get(first!.policy_id), first);
    const later = state(first!.policy_id, {
      current_replicas: null,
      floor: null,
      holds: {},
      recommendations: [],
      last_scale_down_at: "2026-01-02T00:00:00.500Z",
      last_scale_action: null,
      evaluated_at: null,
      decision_mark: "held_back:\u2603",
      arbitrated: null,
      intent: {
        resource_version: "17",
        replicas: 3,
        entry: entry({ policy_id: first!.policy_id }),
        next: { ...first!, decision_mark: "next" },
      },
    });
    await store.states.save([state(first!.policy_id, { current_replicas: 7 }), later], term);
    assert.deepEqual(await store.states.get(first!.policy_id), later);
    await store.states.save([], term);
    await store.policies.replace(made[0]!);
    assert.deepEqual(await store.states.get(first!.policy_id), later);
    await store.policies.delete(first!.policy_id);
    assert.equal(await store.states.get(first!.policy_id), undefined);
    const all = await store.states.all();
    assert.deepEqual(
      all.filter(({ policy_id: id }) => id === second!.policy_id),
      [second],
    );
    await store.states.save([first!], term);
    assert.equal(await store.states.get(first!.policy_id), undefined);
  });

  it("refuses what a leader saves whose term is over", async () => {
    const made = await store.policies.create(draft());
    const earlier = term;
    term = await store.states.begin();
    assert.ok(term > earlier);
    const results = await Promise.allSettled([
      store.states.save([state(made.id, { decision_mark: "old" })], earlier),
      store.states.save([state(made.id, { decision_mark: "new" })], term),
      store.states.save([], earlier),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === "rejected" ? result.reason.code : "saved")),
      ["ELASTI_POLICY_SUPERSEDED", "saved", "ELASTI_POLICY_SUPERSEDED"],
    );
    assert.equal((await store.states.get(made.id))?.decision_mark, "new");
  });

  it("tells the namespaces of targets, and lists only those that are asked for", async () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => `${name}-${randomUUID()}`) as [string, string, string];
    for (const namespace of [a, a, b, c]) {
      const target = { namespace, name: "web" };
      const made = await store.policies.create(draft({ target_ref: target }));
      await store.history.append([entry({ policy_id: made.id, target_ref: target })]);
    }
    const known = await store.policies.namespaces(1_000);
    assert.deepEqual(
      known.filter((namespace) => [a, b, c].includes(namespace)),
      [a, b, c],
    );
    assert.equal(new Set(known).size, known.length);
    assert.equal((await store.policies.namespaces(2)).length, 2);
    for (const [namespaces, total] of [
      [[a, c, "none", "\0", "'"], 3],
      [[], 0],
    ] as const) {
      assert.equal((await store.policies.list({ namespaces }, { limit: 1 })).total, total);
      assert.equal((await store.history.list({ namespaces }, { limit: 1 })).total, total);
    }
    assert.equal((await store.policies.list({ namespaces: [a, b], namespace: b }, { limit: 1 })).total, 1);
    assert.equal((await store.history.list({ namespaces: [a], namespace: b }, { limit: 1 })).total, 0);
  });

  it("saves the states of thousands of policies in one statement", async () => {
    const states = Array.from({ length: 5_000 }, () => state(randomUUID()));
    const made = await store.policies.create(draft());
    await store.states.save([...states, state(made.id)], term);
    assert.deepEqual(await store.states.get(made.id), state(made.id));
  });

  it("keeps the history of a policy that is gone, and takes what comes late", async () => {
    const made = await store.policies.create(draft());
    const early = entry({ policy_id: made.id, policy_name: made.name, details: { action: "none", rules: [] } });
    await store.history.append([early]);
    assert.deepEqual((await store.history.list({ policy_id: made.id }, { limit: 5 })).items, [early]);
    await store.policies.delete(made.id);
    const late = entry({ policy_id: made.id, policy_name: made.name, executed_at: "2026-01-01T00:00:01.000Z" });
    const other = await store.policies.create(draft());
    const its = entry({ policy_id: other.id });
    await store.history.append([late, its]);
    assert.equal((await store.history.list({ policy_id: made.id }, { limit: 5 })).total, 0);
    assert.deepEqual((await store.history.list({ policy_id: other.id }, { limit: 5 })).items, [its]);
    const kept = (await store.history.list({}, { limit: 1_000 })).items.filter(
      (item) => item.policy_name === made.name,
    );
    assert.deepEqual(kept, [
      { ...late, policy_id: null },
      { ...early, policy_id: null },
    ]);
  });

  it("takes an entry whose ids are none without them", async () => {
    const namespace = `ns-${randomUUID()}`;
    const odd = entry({ policy_id: "none", target_id: "7", target_ref: { namespace, name: "web" } });
    await store.history.append([odd]);
    const { items } = await store.history.list({ namespace }, { limit: 5 });
    assert.deepEqual(items, [{ ...odd, policy_id: null, target_id: null }]);
  });

  it("takes an entry that comes twice once", async () => {
    const namespace = `ns-${randomUUID()}`;
    const once = entry({ target_ref: { namespace, name: "web" } });
    await store.history.append([once]);
    await store.history.append([once, entry({ target_ref: { namespace, name: "web" } })]);
    assert.equal((await store.history.list({ namespace }, { limit: 5 })).total, 2);
  });

  it("says of an entry that it refuses that it was the entry, and takes none of its batch", async () => {
    const namespace = `ns-${randomUUID()}`;
    const good = entry({ target_ref: { namespace, name: "web" } });
    const bad = entry({ target_ref: { namespace, name: "web" }, kind: "rumour" as never });
    await assert.rejects(store.history.append([good, bad]), { code: "ELASTI_POLICY_INVALID" });
    assert.equal((await store.history.list({ namespace }, { limit: 5 })).total, 0);
  });

  it("keeps details as they are, whatever they are", async () => {
    const namespace = `ns-${randomUUID()}`;
    const values = [null, "text", "null", "5", 5, true, ["x"], { a: { b: [1.5, null] } }];
    const entries = values.map((details) => entry({ details, target_ref: { namespace, name: "web" } }));
    await store.history.append(entries);
    const { items } = await store.history.list({ namespace }, { limit: 100 });
    for (const given of entries)
      assert.deepEqual(
        items.find(({ id }) => id === given.id),
        given,
      );
  });

  it("lists history newest first, by pages, while more is written", async () => {
    const namespace = `ns-${randomUUID()}`;
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
    // several at one moment
    const entries = Array.from({ length: 25 }, (_, index) =>
      entry({ target_ref: { namespace, name: "web" }, executed_at: at(Math.floor(index / 4)) }),
    );
    await store.history.append(entries);
    const seen: HistoryEntry[] = [];
    let next: string | null = null;
    do {
      const page = await store.history.list({ namespace }, { limit: 7, ...(next === null ? {} : { after: next }) });
      seen.push(...page.items);
      next = page.next;
      await store.history.append([entry({ target_ref: { namespace, name: "web" }, executed_at: at(60) })]);
    } while (next !== null);
    assert.equal(seen.length, 25);
    assert.deepEqual(new Set(seen.map(({ id }) => id)), new Set(entries.map(({ id }) => id)));
    assert.deepEqual(
      seen.map(({ executed_at: time }) => time),
      seen
        .map(({ executed_at: time }) => time)
        .toSorted()
        .toReversed(),
    );
  });

  it("filters history", async () => {
    const namespace = `ns-${randomUUID()}`;
    const made = await store.policies.create(draft());
    const target = { namespace, name: "web" };
    await store.history.append([
      entry({ target_ref: target, policy_id: made.id, policy_name: made.name }),
      entry({
        target_ref: target,
        kind: "decision",
        action: "none",
        outcome: "held_back",
        executed_at: "2026-01-02T00:00:00Z",
      }),
      entry({
        target_ref: { namespace, name: "api" },
        dry_run: true,
        outcome: "dry_run",
        executed_at: "2026-01-03T02:00:00+02:00",
      }),
    ]);
    const count = async (filter: HistoryFilter) =>
      (await store.history.list({ namespace, ...filter }, { limit: 1 })).total;
    assert.equal(await count({}), 3);
    assert.equal(await count({ kind: "decision" }), 1);
    assert.equal(await count({ kind: "action" }), 2);
    assert.equal(await count({ policy_id: made.id.toUpperCase() }), 1);
    assert.equal(await count({ policy_id: "none" }), 0);
    assert.equal(await count({ action: "scale_up" }), 2);
    assert.equal(await count({ outcome: "held_back" }), 1);
    assert.equal(await count({ target_name: "api" }), 1);
    assert.equal(await count({ policy_name: made.name }), 1);
    assert.equal(await count({ policy_name: "none" }), 0);
    assert.equal(await count({ dry_run: true }), 1);
    assert.equal(await count({ dry_run: false }), 2);
    assert.equal(await count({ since: "2026-01-02T00:00:00Z" }), 2);
    assert.equal(await count({ until: "2026-01-03T00:00:00Z" }), 2);
    assert.equal(await count({ since: "2026-01-02T00:00:00Z", until: "2026-01-03T00:00:00Z" }), 1);
  });

  it("finds what took a target to zero and back, with how it stood before", async () => {
    const namespace = `ns-${randomUUID()}`;
    const at = (hour: number) => new Date(Date.UTC(2026, 0, 1, hour)).toISOString();
    const of = (hour: number, more: Partial<HistoryEntry>) =>
      entry({ target_ref: { namespace, name: "web", kind: "Deployment" }, executed_at: at(hour), ...more });
    const sleep = { action: "sleep", previous_replicas: 2, new_replicas: 0 } as const;
    const wake = { action: "wake", previous_replicas: 0, new_replicas: 2 } as const;
    const entries = [
      of(1, sleep),
      of(2, wake),
      of(3, sleep),
      of(4, { action: "scale_up", previous_replicas: 1, new_replicas: 4 }),
      of(5, wake),
      of(6, { ...sleep, outcome: "shadow" }),
      of(7, { action: "scheduled", previous_replicas: 4, new_replicas: 0 }),
      of(8, { ...wake, target_ref: { namespace, name: "api" } }),
      of(9, wake),
    ];
    await store.history.append(entries);
    const found = await store.history.sleepsOf({ namespace, name: "web" }, at(4), at(9));
    assert.deepEqual(
      found.map(({ executed_at: time }) => new Date(time).getUTCHours()),
      [3, 5, 7],
    );
    const other = { namespace, name: "web", kind: "StatefulSet" };
    assert.deepEqual(await store.history.sleepsOf(other, at(0), at(10)), []);
  });

  it("purges what is older, as much as it is told to", async () => {
    const namespace = `ns-${randomUUID()}`;
    const target = { namespace, name: "web" };
    const old = Array.from({ length: 5 }, () => entry({ target_ref: target, executed_at: "2001-01-01T00:00:00Z" }));
    await store.history.append([...old, entry({ target_ref: target })]);
    assert.equal(await store.history.purge("2002-01-01T00:00:00Z", 3), 3);
    assert.equal(await store.history.purge("2002-01-01T00:00:00Z", 3), 2);
    assert.equal(await store.history.purge("2002-01-01T00:00:00Z", 3), 0);
    assert.equal((await store.history.list({ namespace }, { limit: 9 })).total, 1);
  });

  it("counts as far as it is worth it, and says so", async () => {
    const namespace = `ns-${randomUUID()}`;
    const target = { namespace, name: "web" };
    await store.history.append(Array.from({ length: 1_000 }, () => entry({ target_ref: target })));
    const exact = await store.history.list({ namespace }, { limit: 1 });
    assert.deepEqual([exact.total, exact.at_least], [1_000, undefined]);
    await store.history.append([entry({ target_ref: target })]);
    const more = await store.history.list({ namespace }, { limit: 1 });
    assert.deepEqual([more.total, more.at_least], [1_000, true]);
  });
}
