import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import { AddressPlan } from "../../src/node/address-plan.ts";
import { ServiceProxy } from "../../src/services/service-proxy.ts";
import { service, slice } from "./fixtures.ts";

let plan: AddressPlan;
let proxy: ServiceProxy;
let clusterIP: string;
const sockets: Socket[] = [];
const servers: Server[] = [];

beforeEach(async () => {
  plan = await AddressPlan.claim();
  clusterIP = `127.${1 + plan.slot}.0.10`;
  proxy = new ServiceProxy({ plan, nodeNames: ["node-1", "node-2"], clock: systemClock, logger: silentLogger });
});

afterEach(async () => {
  await proxy.close();
  await plan.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

/** A backend on a pod address of its own. */
async function backend(node: number, onConnection: (socket: Socket) => void): Promise<{ ip: string; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on("error", () => {}));
    onConnection(socket);
  });
  servers.push(server);
  server.listen(0, plan.nextPodAddress(node));
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  return { ip: address, port };
}

/** Answers with its name and the peer that it sees. */
const nameAndPeer = (name: string) => (socket: Socket) =>
  socket.end(`${name} ${socket.remoteAddress}:${socket.remotePort}`);

function route(...backends: { ip: string; port: number }[]): void {
  const slices = backends.map(({ ip, port }, index) =>
    slice("web", [ip], [{ name: "", port, protocol: "TCP" }], `s${index}`),
  );
  proxy.update("default/web", service("web", clusterIP, [{ port: 8080 }]), slices);
}

function dial(localAddress?: string): Socket {
  const socket = connect({
    host: clusterIP,
    port: 8080,
    ...(localAddress === undefined ? {} : { localAddress }),
    allowHalfOpen: true,
  });
  sockets.push(socket);
  return socket;
}

async function ask(localAddress?: string): Promise<{ text: string; local: string }> {
  const socket = dial(localAddress);
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(socket, "connect");
  const local = `${socket.localAddress}:${socket.localPort}`;
  await once(socket, "end");
  socket.end();
  return { text, local };
}

test("the backend sees the client's own address and port when the client bound its address", async () => {
  route(await backend(1, nameAndPeer("a")));
  for (let i = 0; i < 20; i++) {
    const { text, local } = await ask(plan.clientAddress(1, 7));
    assert.equal(text, `a ${local}`);
  }
});

test("other clients, hairpins and nodes set so come from the node's address", async () => {
  const pod = await backend(1, nameAndPeer("a"));
  route(pod);
  const peerIp = async (from?: string) => (await ask(from)).text.split(" ")[1]!.split(":")[0];
  assert.equal(await peerIp(), plan.nodeAddress(1));
  assert.equal(await peerIp(pod.ip), plan.nodeAddress(1));
  proxy.setMasquerade(2, true);
  assert.equal(await peerIp(plan.clientAddress(2)), plan.nodeAddress(2));
});

test("each node routes by its own table", async () => {
  const a = await backend(1, nameAndPeer("a"));
  const b = await backend(2, nameAndPeer("b"));
  route(a);
  proxy.setDelay(2, 60_000);
  route(b);
  const name = async (from: string) => (await ask(from)).text.split(" ")[0];
  assert.equal(await name(plan.clientAddress(1)), "b");
  assert.equal(await name(plan.clientAddress(2)), "a");
});

test("established connections stay where they are", async () => {
  const a = await backend(1, (socket) => socket.pipe(socket));
  const b = await backend(1, nameAndPeer("b"));
  route(a);
  const socket = dial(plan.clientAddress(1));
  socket.write("one");
  assert.equal(String((await once(socket, "data"))[0]), "one");
  route(b);
  socket.write("two");
  assert.equal(String((await once(socket, "data"))[0]), "two");
  assert.match((await ask(plan.clientAddress(1))).text, /^b /);
});

test("refuses when no node has an endpoint, and resets where this node has none", async () => {
  const a = await backend(1, nameAndPeer("a"));
  route();
  await assert.rejects(once(dial(), "connect"), { code: "ECONNREFUSED" });
  proxy.setDelay(2, 60_000);
  route(a);
  assert.match((await ask(plan.clientAddress(1))).text, /^a /);
  await assert.rejects(once(dial(plan.clientAddress(2)), "end"), { code: "ECONNRESET" });
  route();
  await assert.rejects(once(dial(plan.clientAddress(1)), "connect"), { code: "ECONNREFUSED" });
});

test("a backend that refuses resets the client", async () => {
  const a = await backend(1, nameAndPeer("a"));
  route({ ip: a.ip, port: 1 });
  await assert.rejects(once(dial(plan.clientAddress(1)), "end"), { code: "ECONNRESET" });
});

test("half-closes pass in both directions", async () => {
  route(
    await backend(1, (socket) => {
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("end", () => socket.end(`got ${text}`));
    }),
  );
  const socket = dial(plan.clientAddress(1));
  socket.end("question");
  assert.equal(String((await once(socket, "data"))[0]), "got question");
  await once(socket, "end");
});

test("resets pass in both directions", async () => {
  const accepted = Promise.withResolvers<Socket>();
  route(await backend(1, (socket) => accepted.resolve(socket)));
  const client = dial(plan.clientAddress(1));
  client.write("x");
  const server = await accepted.promise;
  client.resetAndDestroy();
  const [error] = await once(server, "error");
  assert.equal(error.code, "ECONNRESET");

  const again = Promise.withResolvers<Socket>();
  route(await backend(1, (socket) => again.resolve(socket)));
  const other = dial(plan.clientAddress(1));
  other.write("x");
  (await again.promise).resetAndDestroy();
  await assert.rejects(once(other, "end"), { code: "ECONNRESET" });
});

test("carries no more than the reader takes", async () => {
  const accepted = Promise.withResolvers<Socket>();
  let first = true;
  const a = await backend(1, (socket) => {
    if (first) accepted.resolve(socket.pause());
    else nameAndPeer("a")(socket);
    first = false;
  });
  route(a);
  const client = dial(plan.clientAddress(1));
  await once(client, "connect");
  const block = Buffer.alloc(1 << 20, "x");
  let sent = 0;
  // without back pressure all of it would be taken: far more than the buffers of the kernel and of the proxy hold
  const total = 64 * block.length;
  for (let i = 0; i < 64; i++) client.write(block, () => (sent += block.length));
  client.end();
  // a round trip on another connection, after which everything that could move has moved
  for (let i = 0; i < 50; i++) await ask(plan.clientAddress(1));
  assert.ok(sent < total / 2, `${sent} bytes of ${total} went into the proxy although nobody read`);
  const server = await accepted.promise;
  let received = 0;
  server.on("data", (chunk) => {
    received += chunk.length;
  });
  server.resume();
  await once(server, "end");
  assert.equal(received, total);
});

test("waits for a node's table without polling", async () => {
  const a = await backend(1, nameAndPeer("a"));
  const waiting = proxy.waitForBackends(2, "default/web", (backends) => backends.length === 1);
  route(a);
  await waiting;
  const stopped = proxy.waitForBackends(
    2,
    "default/web",
    (backends) => backends.length === 2,
    AbortSignal.abort(new Error("over")),
  );
  await assert.rejects(stopped, /over/);
});
