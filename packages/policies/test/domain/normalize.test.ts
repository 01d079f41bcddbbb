import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { applyChange, type Condition, normalizePolicy, policyBody, schemaProblems } from "../../src/index.ts";
import { body, context, down, policyOf, up } from "./kit.ts";

/** Wrong fields of a body, in any order. */
const wrong = (input: unknown): Record<string, string> =>
  Object.fromEntries((normalizePolicy(input, context).errors ?? []).map(({ field, message }) => [field, message]));

describe("normalizePolicy", () => {
  it("fills in every default", () => {
    const { draft } = normalizePolicy(body(), { ...context, newId: () => "id" });
    assert.deepEqual(draft, {
      id: "id",
      name: "orders",
      description: "",
      target_type: "workload",
      target_id: null,
      target_ref: { namespace: "shop", name: "orders" },
      min_replicas: 1,
      max_replicas: 10,
      cooldown_seconds: 300,
      max_hourly_cost: null,
      price_per_replica_hour: null,
      scale_to_zero: false,
      enabled: true,
      shadow: false,
      behavior: {},
      scale_up_rules: [],
      scale_down_rules: [],
      schedules: [],
    });
  });

  it("takes the cooldown that is configured where none is said", () => {
    const { draft } = normalizePolicy(body(), { ...context, defaultCooldownSeconds: 60 });
    assert.equal(draft?.cooldown_seconds, 60);
  });

  it("allows min_replicas 0", () => assert.deepEqual(wrong(body({ min_replicas: 0 })), {}));

  it("takes a duration as text or as seconds, and keeps one form", () => {
    const rules = policyOf({
      scale_up_rules: [up({ duration: "5m" }), up({ duration_seconds: 300 }), up()],
    }).scale_up_rules;
    assert.deepEqual(
      rules.map((rule) => rule.duration_seconds),
      [300, 300, 0],
    );
    assert.ok(!("duration" in rules[0]!));
  });

  it("keeps a condition said in two ways in one form", () => {
    const when = { metric: "queue_depth", operator: "gt", threshold: 100, duration: "1m" } as Condition;
    const [long, short] = policyOf({ scale_up_rules: [{ when, scale_by: 2 }, up({ duration: "1m" })] }).scale_up_rules;
    assert.deepEqual({ ...long, id: "" }, { ...short, id: "" });
  });

  type Row = [string, object, string, RegExp];
  const window = (more: object) => ({
    schedules: [{ start: "0 8 * * *", end: "0 18 * * *", min_replicas: 2, ...more }],
  });
  const moment = (more: object) => ({ schedules: [{ cron_expression: "0 8 * * *", desired_replicas: 2, ...more }] });
  const when = (condition: unknown) => ({ scale_up_rules: [{ when: condition, scale_by: 1 }] });
  let deep: unknown = { metric: "latency", operator: "gt", threshold: 1 };
  for (let depth = 0; depth < 6; depth += 1) deep = { any: [deep] };
  const rows: Row[] = [
    ["min above max", { min_replicas: 5, max_replicas: 3 }, "min_replicas", /5 is above max_replicas \(3\)/],
    ["min above the default of max", { min_replicas: 11 }, "min_replicas", /max_replicas \(10, the default\)/],
    ["a max of 0", { max_replicas: 0 }, "max_replicas", /from 1 to/],
    ["half a replica", { max_replicas: 1.5 }, "max_replicas", /expected a whole number/],
    ["an unknown field", { replicas: 3 }, "replicas", /is no field that is known here/],
    ["a name with nothing in it", { name: "" }, "name", /expected text of 1 to 253/],
    ["a name that is too long", { name: "x".repeat(254) }, "name", /expected text of 1 to 253/],
    ["a negative cooldown", { cooldown_seconds: -1 }, "cooldown_seconds", /from 0/],
    [
      "an unknown target type",
      { target_type: "pod" },
      "target_type",
      /expected one of cdc-worker, elastiservice, workload/,
    ],
    ["a target type by a name that objects have", { target_type: "constructor" }, "target_type", /expected one of/],
    ["no target", { target_ref: undefined }, "target_ref", /expected namespace and name/],
    ["a target without a namespace", { target_ref: { name: "a" } }, "target_ref.namespace", /is required/],
    ["an id that is none", { target_id: "7" }, "target_id", /a UUID, or null/],
    [
      "a ceiling of cost without a price",
      { max_hourly_cost: 5 },
      "price_per_replica_hour",
      /required beside max_hourly_cost/,
    ],
    [
      "a ceiling below the price of one",
      { max_hourly_cost: 1, price_per_replica_hour: 2 },
      "max_hourly_cost",
      /does not pay for one/,
    ],
    [
      "a ceiling below the price of the least",
      { max_hourly_cost: 5, price_per_replica_hour: 2, min_replicas: 3 },
      "max_hourly_cost",
      /does not pay for min_replicas \(3/,
    ],
    [
      "a step of 0 upwards",
      { scale_up_rules: [up({ scale_by: 0 })] },
      "scale_up_rules[0].scale_by",
      /does not scale up/,
    ],
    ["a step of 0%", { scale_up_rules: [up({ scale_by: "0%" })] }, "scale_up_rules[0].scale_by", /such as "50%"/],
    ["a step down among those up", { scale_up_rules: [up({ scale_by: -1 })] }, "scale_up_rules[0].scale_by", /above 0/],
    [
      "a share down among those up",
      { scale_up_rules: [up({ scale_by: "-10%" })] },
      "scale_up_rules[0].scale_by",
      /above 0/,
    ],
    [
      "a step up among those down",
      { scale_down_rules: [down({ scale_by: 1 })] },
      "scale_down_rules[0].scale_by",
      /below 0, such as -1/,
    ],
    [
      "more than all taken away",
      { scale_down_rules: [down({ scale_by: "-150%" })] },
      "scale_down_rules[0].scale_by",
      /-100%/,
    ],
    [
      "a threshold that is no number",
      { scale_up_rules: [up({ threshold: "1" })] },
      "scale_up_rules[0].threshold",
      /finite/,
    ],
    [
      "a threshold of NaN",
      { scale_up_rules: [up({ threshold: Number.NaN })] },
      "scale_up_rules[0].threshold",
      /NaN.*finite/,
    ],
    [
      "an infinite threshold",
      { scale_up_rules: [up({ threshold: Number.POSITIVE_INFINITY })] },
      "scale_up_rules[0].threshold",
      /Infinity.*finite/,
    ],
    [
      "an operator that is none",
      { scale_up_rules: [up({ operator: ">" })] },
      "scale_up_rules[0].operator",
      /gt, lt, gte, lte, eq/,
    ],
    [
      "a negative duration",
      { scale_up_rules: [up({ duration: "-5m" })] },
      "scale_up_rules[0].duration",
      /such as "5m"/,
    ],
    [
      "a duration without a unit",
      { scale_up_rules: [up({ duration: "5" })] },
      "scale_up_rules[0].duration",
      /such as "5m"/,
    ],
    ["a duration beyond a week", { scale_up_rules: [up({ duration: "8d" })] }, "scale_up_rules[0].duration", /0 to 7d/],
    [
      "negative seconds",
      { scale_up_rules: [up({ duration_seconds: -5 })] },
      "scale_up_rules[0].duration_seconds",
      /from 0 to 604800/,
    ],
    [
      "both durations",
      { scale_up_rules: [up({ duration: "5m", duration_seconds: 300 })] },
      "scale_up_rules[0].duration",
      /expected one of both/,
    ],
    [
      "a metric that the catalogue does not have",
      { scale_up_rules: [up({ metric: "nope" })] },
      "scale_up_rules[0].metric",
      /expected one of errors, latency, queue_depth, or a metric said in full/,
    ],
    [
      "a source that is none",
      { scale_up_rules: [up({ metric: { source: "graphite", query: "x" } })] },
      "scale_up_rules[0].metric.source",
      /expected one of prometheus, resource, sql, traffic/,
    ],
    [
      "a field of another source",
      { scale_up_rules: [up({ metric: { source: "traffic", signal: "held", query: "x" } })] },
      "scale_up_rules[0].metric.query",
      /known here: source, signal/,
    ],
    [
      "an address that is none",
      { scale_up_rules: [up({ metric: { source: "prometheus", query: "x", server_address: "prom:9090" } })] },
      "scale_up_rules[0].metric.server_address",
      /expected http/,
    ],
    [
      "no metric",
      { scale_up_rules: [{ operator: "gt", threshold: 1, scale_by: 1 }] },
      "scale_up_rules[0].metric",
      /is required/,
    ],
    [
      "when beside a metric",
      {
        scale_up_rules: [
          up({ when: { metric: "latency", operator: "gt", threshold: 1 }, operator: undefined, threshold: undefined }),
        ],
      },
      "scale_up_rules[0].metric",
      /cannot stand beside when/,
    ],
    ["an empty group", when({ all: [] }), "scale_up_rules[0].when.all", /at least 1/],
    ["groups too deep", when(deep), "scale_up_rules[0].when.any[0].any[0].any[0].any[0].any[0]", /at most 5 groups/],
    [
      "too many comparisons",
      when({
        any: Array.from({ length: 2 }, () => ({
          all: Array.from({ length: 30 }, () => ({ metric: "latency", operator: "gt", threshold: 1 })),
        })),
      }),
      "scale_up_rules[0].when",
      /has 60 comparisons: expected at most 50/,
    ],
    [
      "a wrong part of a group",
      when({
        all: [
          { metric: "latency", operator: "gt", threshold: 1 },
          { any: [{ metric: "nope", operator: "gt", threshold: 1 }] },
        ],
      }),
      "scale_up_rules[0].when.all[1].any[0].metric",
      /not in the catalogue/,
    ],
    ["10000 rules", { scale_up_rules: Array.from({ length: 10_000 }, () => ({})) }, "scale_up_rules", /at most 100/],
    ["rules that are no list", { scale_up_rules: {} }, "scale_up_rules", /expected a list/],
    ["a cron that is none", moment({ cron_expression: "every day" }), "schedules[0].cron_expression", /five fields/],
    [
      "a cron that never comes",
      moment({ cron_expression: "0 0 30 2 *" }),
      "schedules[0].cron_expression",
      /never comes/,
    ],
    ["a zone that is none", moment({ timezone: "Mars/Olympus" }), "schedules[0].timezone", /IANA name/],
    [
      "a moment without a count",
      moment({ desired_replicas: undefined }),
      "schedules[0].desired_replicas",
      /is required/,
    ],
    [
      "a moment above the most",
      moment({ desired_replicas: 11 }),
      "schedules[0].desired_replicas",
      /11 is above max_replicas \(10\)/,
    ],
    ["a moment of zero", moment({ desired_replicas: 0 }), "schedules[0].desired_replicas", /scale_to_zero is false/],
    [
      "a window as a moment too",
      moment({ end: "0 18 * * *" }),
      "schedules[0].end",
      /cannot stand beside cron_expression/,
    ],
    ["start equal to end", window({ end: "0 8 * * *" }), "schedules[0].end", /same as start/],
    ["a window without an end", window({ end: undefined }), "schedules[0].end", /needs end or duration/],
    ["a window with a wrong zone", window({ timezone: "x" }), "schedules[0].timezone", /no time zone/],
    [
      "a window that moves nothing",
      window({ min_replicas: undefined }),
      "schedules[0].min_replicas",
      /at least one of both/,
    ],
    [
      "a window with min above max",
      window({ max_replicas: 1 }),
      "schedules[0].min_replicas",
      /2 is above max_replicas \(1\)/,
    ],
    [
      "a window with min above the policy's max",
      window({ min_replicas: 20 }),
      "schedules[0].min_replicas",
      /of the policy \(10\)/,
    ],
    [
      "a window with max below the policy's min",
      { min_replicas: 5, ...window({ min_replicas: undefined, max_replicas: 3 }) },
      "schedules[0].max_replicas",
      /expected min_replicas here too/,
    ],
    [
      "a window of zero",
      window({ min_replicas: undefined, max_replicas: 0 }),
      "schedules[0].max_replicas",
      /scale_to_zero is false/,
    ],
    ["a schedule that says nothing", { schedules: [{ name: "x" }] }, "schedules[0]", /expected cron_expression/],
    [
      "a stabilization window beyond an hour",
      { behavior: { scale_down: { stabilization_window_seconds: 3_601 } } },
      "behavior.scale_down.stabilization_window_seconds",
      /from 0 to 3600/,
    ],
  ];
  for (const [name, more, field, message] of rows) {
    it(`refuses ${name}, by its field and with what was expected`, () => {
      const problems = wrong({ ...body(), ...more });
      assert.deepEqual(Object.keys(problems), [field], JSON.stringify(problems));
      assert.match(problems[field]!, message);
    });
  }

  it("reports every wrong field at once, also where one part is wrong in several ways", () => {
    const problems = wrong({
      ...body({ target_type: "pod", cooldown_seconds: -1 }),
      surplus: 1,
      scale_up_rules: [{ metric: "nope", operator: ">", threshold: Number.NaN, scale_by: 0, duration: "-1s" }, 7],
      schedules: [{ cron_expression: "x", desired_replicas: "y", timezone: "z" }],
    });
    assert.deepEqual(Object.keys(problems).sort(), [
      "cooldown_seconds",
      "scale_up_rules[0].duration",
      "scale_up_rules[0].metric",
      "scale_up_rules[0].operator",
      "scale_up_rules[0].scale_by",
      "scale_up_rules[0].threshold",
      "scale_up_rules[1]",
      "schedules[0].cron_expression",
      "schedules[0].desired_replicas",
      "schedules[0].timezone",
      "surplus",
      "target_type",
    ]);
  });

  for (const input of [undefined, null, [], "x", 7]) {
    it(`refuses ${JSON.stringify(input)} as a body`, () => {
      assert.deepEqual(Object.keys(wrong(input)), [""]);
    });
  }

  it("does not fall for what is nested without end", () => {
    let nested: unknown = 1;
    for (let depth = 0; depth < 5_000; depth += 1) nested = { any: [nested] };
    assert.match(Object.values(wrong({ ...body(), ...when(nested) })).join(), /nested too deeply/);
  });

  it("stops looking somewhere in a body that is wrong thousands of times, and soon", () => {
    const leaf = { metric: "nope", operator: "gt", threshold: 1, duration: "x" };
    const rules = Array.from({ length: 100 }, () => ({
      when: { any: Array.from({ length: 50 }, () => leaf) },
      scale_by: 0,
    }));
    const began = process.cpuUsage();
    const { errors } = normalizePolicy({ ...body(), scale_up_rules: rules }, context);
    const { user } = process.cpuUsage(began);
    assert.equal(errors?.length, 500);
    assert.ok(user < 1_000_000, `${user} us`);
  });

  it("needs no object where the target type says one", () => {
    assert.deepEqual(wrong(body({ target_type: "cdc-worker", target_ref: null })), {});
  });
});

describe("a change of a policy", () => {
  const policy = policyOf({
    description: "before",
    scale_up_rules: [up({ name: "one" }), up({ name: "two", duration: "1m" })],
    schedules: [{ cron_expression: "0 8 * * *", desired_replicas: 2 }],
  });

  it("replaces what it gives, arrays as a whole, and keeps the rest", () => {
    const { draft } = normalizePolicy(
      applyChange(policy, { max_replicas: 20, scale_up_rules: [up()] }),
      context,
      policy,
    );
    assert.deepEqual([draft?.id, draft?.description, draft?.max_replicas], [policy.id, "before", 20]);
    assert.equal(draft?.scale_up_rules.length, 1);
    assert.deepEqual(draft?.schedules, policy.schedules);
  });

  it("that changes nothing leaves all of it, ids too", () => {
    const { draft } = normalizePolicy(applyChange(policy, {}), context, policy);
    const { version: _version, created_at: _created, updated_at: _updated, ...kept } = policy;
    assert.deepEqual(draft, kept);
  });

  it("is checked together with what it does not say", () => {
    const { errors } = normalizePolicy(applyChange(policy, { min_replicas: 11 }), context, policy);
    assert.equal(errors?.[0]?.field, "min_replicas");
  });

  it("with ids of another policy, or one id twice, gets new ones", () => {
    const foreign = "11111111-2222-4333-8444-555555555555";
    const [first] = policyBody(policy).scale_up_rules!;
    const rules = [first!, { ...first!, scale_by: 3 }, { ...first!, id: foreign }];
    const { draft } = normalizePolicy(applyChange(policy, { scale_up_rules: rules }), context, policy);
    const ids = draft!.scale_up_rules.map((rule) => rule.id);
    assert.equal(ids[0], policy.scale_up_rules[0]!.id);
    assert.equal(new Set([...ids, foreign]).size, 4);
  });
});

describe("schemaProblems", () => {
  it("stops counting somewhere", () => {
    const schema = { type: "object", properties: {}, additionalProperties: false };
    const value = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`f${index}`, 1]));
    assert.equal(schemaProblems(schema, value).length, 500);
  });
});
