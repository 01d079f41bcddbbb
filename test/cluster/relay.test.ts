import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { serveRelay } from "./relay.ts";

const host = "127.0.0.1";
const portOf = (server: Server) => (server.address() as AddressInfo).port;

async function listening(server: Server): Promise<Server> {
  if (!server.listening) await once(server, "listening");
  return server;
}

/** All that comes until the other side ends. */
async function textOf(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(socket, "end");
  return text;
}

describe("the relay of the second node", () => {
  let relay: Server;
  const servers: Server[] = [];
  before(async () => {
    relay = await listening(serveRelay(0, host));
  });
  after(() => {
    for (const server of [relay, ...servers]) server.close();
  });

  async function serve(onConnection: (socket: Socket) => void): Promise<number> {
    const server = await listening(createServer({ allowHalfOpen: true }, onConnection).listen(0, host));
    servers.push(server);
    return portOf(server);
  }
  const through = (port: number) => {
    const socket = connect({ host, port: portOf(relay), allowHalfOpen: true });
    socket.write(`${host}:${port}\n`);
    return socket;
  };

  it("carries bytes both ways, and a half-close", async () => {
    const port = await serve((socket) => {
      void textOf(socket).then((text) => socket.end(`got ${text}`));
    });
    const client = through(port);
    client.end("all of it");
    assert.equal(await textOf(client), "got all of it");
  });

  it("takes the first line in pieces, with what follows it", async () => {
    const port = await serve((socket) => void socket.pipe(socket));
    const client = connect({ host, port: portOf(relay), allowHalfOpen: true, noDelay: true });
    const line = `${host}:${port}\nfirst`;
    client.write(line.slice(0, 4));
    await once(client, "connect");
    await new Promise((resolve) => setImmediate(resolve));
    client.end(line.slice(4));
    assert.equal(await textOf(client), "first");
  });

  it("resets the client when nobody listens there, and when the other side resets", async () => {
    const server = await listening(createServer().listen(0, host));
    const port = portOf(server);
    server.close();
    await once(server, "close");
    const [refused] = (await once(through(port), "error")) as [NodeJS.ErrnoException];
    assert.equal(refused.code, "ECONNRESET");
    const resetting = await serve((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const client = through(resetting);
    client.write("anything");
    const [reset] = (await once(client, "error")) as [NodeJS.ErrnoException];
    assert.equal(reset.code, "ECONNRESET");
  });

  it("resets whoever does not say where to", async () => {
    const client = connect(portOf(relay), host);
    client.write("nowhere\n");
    const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
    assert.equal(error.code, "ECONNRESET");
  });
});
