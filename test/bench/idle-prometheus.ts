import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hostAddress } from "../e2e/world.ts";

/** A Prometheus server, as far as triggers ask, on which nothing ever happens: all servers up, all rates zero. */
export async function idlePrometheus(): Promise<{ url: string; close(): void }> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const query = new URLSearchParams(body).get("query") ?? "";
    const value = query.includes("up{") ? "1" : "0";
    const result = [{ metric: {}, value: [Date.now() / 1_000, value] }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
  });
  server.listen(0, hostAddress);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${hostAddress}:${port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
