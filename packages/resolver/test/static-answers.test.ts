import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ProbeResponse } from "@elasti/api";
import { checkerAnswer, type RequestHead, StaticRules, splitTarget } from "../src/static-answers.ts";

const response = { status: 200 as const };
const head = (url: string, parts: Partial<RequestHead> = {}): RequestHead => ({
  method: "GET",
  url,
  headers: {},
  ...parts,
});

describe("probeResponse", () => {
  const table: [string, Omit<ProbeResponse, "response">, RequestHead, boolean][] = [
    ["a prefix fits itself", { path: { value: "/api" } }, head("/api"), true],
    ["a prefix fits below itself", { path: { value: "/api" } }, head("/api/v1"), true],
    ["a prefix is compared by segment", { path: { value: "/api" } }, head("/apis"), false],
    ["a prefix may end with a slash", { path: { value: "/api/" } }, head("/api"), true],
    ["the default prefix fits all", { path: {} }, head("/x?y"), true],
    ["no condition fits all", {}, head("/x"), true],
    ["exact is exact", { path: { type: "Exact", value: "/a" } }, head("/a/"), false],
    ["the query is not part of the path", { path: { type: "Exact", value: "/a" } }, head("/a?b=1"), true],
    ["absolute targets have a path too", { path: { type: "Exact", value: "/a" } }, head("http://web/a"), true],
    ["an expression must match all", { path: { type: "RegularExpression", value: "/v[0-9]" } }, head("/v10"), false],
    ["an expression", { path: { type: "RegularExpression", value: "/v[0-9]+" } }, head("/v10"), true],
    ["the method", { method: "HEAD" }, head("/"), false],
    [
      "a header, whatever its case",
      { headers: [{ name: "X-Probe", value: "yes" }] },
      head("/", { headers: { "x-probe": "yes" } }),
      true,
    ],
    ["a header that is not there", { headers: [{ name: "X-Probe", value: "yes" }] }, head("/"), false],
    [
      "all headers",
      {
        headers: [
          { name: "a", value: "1" },
          { name: "b", type: "RegularExpression", value: ".*" },
        ],
      },
      head("/", { headers: { a: "1" } }),
      false,
    ],
    ["a query parameter", { queryParams: [{ name: "probe", value: "a b" }] }, head("/?probe=a%20b"), true],
    ["another query parameter", { queryParams: [{ name: "probe", value: "1" }] }, head("/?prob=1"), false],
    [
      "the beginning of User-Agent",
      { userAgent: "Up" },
      head("/", { headers: { "user-agent": "UptimeRobot/2" } }),
      true,
    ],
  ];
  for (const [what, rule, request, fits] of table) {
    test(`${what}: ${fits ? "fits" : "does not fit"}`, () => {
      assert.equal(new StaticRules([{ ...rule, response }]).match(request) !== undefined, fits);
    });
  }

  test("the first that fits wins", () => {
    const rules = new StaticRules([
      { path: { type: "Exact", value: "/a" }, response: { status: 204 } },
      { response: { status: 503, body: "no", contentType: "text/html" } },
    ]);
    assert.equal(rules.match(head("/a"))?.status, 204);
    assert.deepEqual(rules.match(head("/b")), {
      status: 503,
      body: "no",
      contentType: "text/html",
      reason: "probe-response",
    });
  });

  test("a bad expression is named and fits nothing; the others stand", () => {
    const rules = new StaticRules([
      { path: { type: "RegularExpression", value: "(" }, response },
      { path: { value: "/ok" }, response },
    ]);
    assert.match(rules.problems[0] ?? "", /probeResponse\[0\]/);
    assert.equal(rules.match(head("/x")), undefined);
    assert.equal(rules.match(head("/ok"))?.status, 200);
  });

  test("an expression made to explode does not", () => {
    const rules = new StaticRules([{ path: { type: "RegularExpression", value: "/(a+)+$" }, response }]);
    assert.equal(rules.match(head(`/${"a".repeat(5_000)}!`)), undefined);
  });
});

test("browsers are no health checks", () => {
  for (const agent of [undefined, "Mozilla/5.0", "curl/8.5.0", "my-kube-probe/1"])
    assert.equal(checkerAnswer(head("/", { headers: { "user-agent": agent } })), undefined);
});

test("splits targets", () => {
  assert.deepEqual(splitTarget("*"), { path: "/", query: "" });
  assert.deepEqual(splitTarget("http://a.b/c/d?e=/f"), { path: "/c/d", query: "e=/f" });
  assert.deepEqual(splitTarget("http://a.b"), { path: "/", query: "" });
});
