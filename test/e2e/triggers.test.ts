import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { hostAddress, startWorld, type World } from "./world.ts";

const allowLoopback = { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress };
const soon = { cooldownPeriod: 1, routing: { graceSeconds: 0 } };

describe("a Prometheus that is down, slow or lies", { concurrency: 8 }, () => {
  let world: World;
  let server: http.Server;
  before(async () => {
    // what no real one would say
    server = http.createServer((request, response) => {
      const [, how] = (request.url ?? "").split("/");
      const vector = (...values: unknown[]) =>
        JSON.stringify({
          status: "success",
          data: { resultType: "vector", result: values.map((value) => ({ metric: {}, value: [1, value] })) },
        });
      if (how === "slow") return;
      if (how === "broken") response.writeHead(500).end("out of order");
      else if (how === "html") response.end("<html>log in</html>");
      else if (how === "null") response.end(vector(null));
      else if (how === "word") response.end(vector("plenty"));
      else response.end(vector("0", "0"));
    });
    await new Promise<void>((resolve) => server.listen(0, hostAddress, resolve));
    world = await startWorld({ operators: 1, resolvers: 1, operatorEnv: allowLoopback });
  });
  after(async () => {
    await world?.close();
    server.closeAllConnections();
    server.close();
  });

  const cases: [string, string, RegExp][] = [
    ["down", "PrometheusUnreachable", /ECONNREFUSED/],
    ["slow", "PrometheusTimeout", /1 ?s|1000 ?ms/],
    ["broken", "PrometheusStatus", /HTTP 500: out of order/],
    ["html", "MalformedAnswer", /no JSON: <html>/],
    ["null", "NullValue", /null/],
    ["word", "MalformedAnswer", /expected a number: plenty/],
    ["several", "SeveralSeries", /2 series, expected one/],
  ];
  for (const [how, reason, message] of cases) {
    it(`leaves the target up and says why: ${how}`, async () => {
      const { port } = server.address() as AddressInfo;
      const serverAddress = how === "down" ? `http://${hostAddress}:9` : `http://${hostAddress}:${port}/${how}`;
      const metadata = { serverAddress, query: "up", threshold: 1, timeoutSeconds: 1 };
      const web = await world.sleeper({
        name: how,
        replicas: 1,
        spec: { ...soon, triggers: [{ type: "prometheus", metadata }] },
      });
      const idle = await web.condition("Idle", ({ status }) => status === "Unknown");
      const known =
        idle.reason === "NotAskedYet" ? await web.condition("Idle", (one) => one.reason !== "NotAskedYet") : idle;
      assert.match(`${known.reason} ${known.message}`, new RegExp(reason));
      assert.match(known.message, message);
      assert.deepEqual([await web.replicas(), await web.phase()], [1, "Serving"]);
    });
  }
});
