import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, it } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { deadPod, front, headPod, httpPod, RawClient, rawPod } from "./forward-support.ts";

const ask = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
const handshake = `GET /chat?room=%2f1 HTTP/1.1\r\nHost: web\r\n${ask}`;
const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

describe("upgrades", () => {
  it("carry WebSocket messages both ways", async (t) => {
    const { pod, server } = await httpPod(t, (_request, response) => response.writeHead(426).end());
    const sockets = new WebSocketServer({ server });
    t.after(() => sockets.close());
    sockets.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
    const { port, nextOutcome } = await front(t, pod);
    const client = new WebSocket(`ws://127.0.0.1:${port}/`);
    await once(client, "open");
    client.send("hello");
    assert.equal(String((await once(client, "message"))[0]), "hello");
    const big = randomBytes(1_000_000);
    client.send(big);
    const [echo] = (await once(client, "message")) as [Buffer];
    assert.equal(createHash("sha256").update(echo).digest("hex"), createHash("sha256").update(big).digest("hex"));
    client.close();
    await once(client, "close");
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 101, fromPod: true });
  });

  it("keep the path, the Host and the bytes that came along on both sides", async (t) => {
    const got = Promise.withResolvers<string>();
    const { pod, heads } = await headPod(t, (socket) => {
      socket.once("data", (chunk) => got.resolve(chunk.toString()));
      socket.write(`${switching}early`);
    });
    const { port } = await front(t, pod, { coldStartMs: 5, serverTiming: "hold;dur=5" });
    const client = new RawClient(t, port);
    client.send(
      `${handshake.replace("Host: web", "Host: web\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https")}first`,
    );
    const text = await client.until("\r\n\r\nearly");
    assert.match(heads[0]!, /^GET \/chat\?room=%2f1 HTTP\/1.1\r\n/);
    assert.match(heads[0]!, /\r\nhost: web\r\n/i);
    assert.match(heads[0]!, /\r\nx-forwarded-for: 1.1.1.1, 127.0.0.1\r\n/i);
    assert.match(heads[0]!, /\r\nx-forwarded-proto: https(\r\n|$)/i);
    assert.match(heads[0]!, /\r\nx-forwarded-host: web(\r\n|$)/i);
    assert.match(text, /elasti-cold-start: 5\r\n/);
    assert.equal(await got.promise, "first");
  });

  it("are not sent when the connect is refused, so that another pod can be tried", async (t) => {
    const { pod } = await headPod(t, (socket) => socket.write(switching));
    const { port } = await front(t, [await deadPod(), await deadPod(), pod]);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.until("101 Switching Protocols");
    const dead = await front(t, await deadPod());
    new RawClient(t, dead.port).send(handshake);
    const outcome = await dead.nextOutcome();
    assert.match(String(outcome.kind === "not-sent" && outcome.error), /ECONNREFUSED/);
  });

  it("count as under way until they end", async (t) => {
    const pods: Socket[] = [];
    const { pod } = await headPod(t, (socket) => {
      pods.push(socket);
      socket.write(switching);
    });
    const { port, outcomes } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.until("\r\n\r\n");
    let over = false;
    void outcomes[0]!.then(() => {
      over = true;
    });
    client.send("a");
    await once(pods[0]!, "data");
    assert.equal(over, false);
    client.socket.destroy();
    await outcomes[0];
  });

  it("pass a half-close on in each direction", async (t) => {
    const ends: string[] = [];
    const pod = await rawPod(t, (socket) => {
      socket.once("data", () => socket.write(switching));
      socket.on("end", () => {
        ends.push("client");
        socket.end("last words");
      });
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.until("\r\n\r\n");
    client.socket.end();
    const { how, text } = await client.end();
    assert.equal(how, "end");
    assert.ok(text.endsWith("last words"));
    assert.deepEqual(ends, ["client"]);
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 101, fromPod: true });
  });

  it("pass the pod's end on while the client still sends", async (t) => {
    const got = Promise.withResolvers<string>();
    const pod = await rawPod(t, (socket) => {
      socket.once("data", () => {
        socket.end(switching);
        socket.on("data", (chunk) => got.resolve(chunk.toString()));
      });
    });
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.end();
    client.send("still here");
    assert.equal(await got.promise, "still here");
    client.socket.end();
  });

  it("pass a reset of the client on", async (t) => {
    const error = Promise.withResolvers<Error>();
    const pod = await rawPod(t, (socket) => {
      socket.once("data", () => socket.write(switching));
      socket.on("error", error.resolve);
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.until("\r\n\r\n");
    client.socket.resetAndDestroy();
    assert.match(String(await error.promise), /ECONNRESET/);
    assert.equal((await nextOutcome()).kind, "answered");
  });

  it("pass a reset of the pod on", async (t) => {
    const { pod } = await headPod(t, (socket) => {
      socket.write(switching);
      socket.once("data", () => socket.resetAndDestroy());
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.until("\r\n\r\n");
    client.send("now");
    assert.equal((await client.end()).how, "reset");
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 101, fromPod: false });
  });

  it("drop the pod's side when the client leaves before the answer", async (t) => {
    const arrived = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const pod = await rawPod(t, (socket) => {
      socket.once("data", () => arrived.resolve());
      socket.on("end", gone.resolve).on("error", () => gone.resolve());
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await arrived.promise;
    client.socket.resetAndDestroy();
    await gone.promise;
    assert.deepEqual(await nextOutcome(), { kind: "client-left" });
  });

  it("answer 502 when the pod ends the connection without an answer", async (t) => {
    const { pod } = await headPod(t, (socket) => socket.destroy());
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    const { text } = await client.end();
    assert.match(text, /^HTTP\/1.1 502 Bad Gateway\r\n/);
    assert.match(text, /elasti-reason: ELASTI_FORWARD_FAILED\r\n/i);
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 502, fromPod: false });
  });

  for (const [name, answer, expected] of [
    ["with a length", "HTTP/1.1 401 No\r\nContent-Length: 3\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nwho", /who$/],
    [
      "chunked",
      "HTTP/1.1 503 Later\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n0\r\n\r\n",
      /3\r\nwho\r\n0\r\n\r\n/,
    ],
  ] as const) {
    it(`pass an answer that is no upgrade on: ${name}`, async (t) => {
      const { pod } = await headPod(t, (socket) => socket.end(answer));
      const { port, nextOutcome } = await front(t, pod);
      const client = new RawClient(t, port);
      client.send(handshake);
      const { how, text } = await client.end();
      assert.equal(how, "end");
      assert.match(text, expected);
      if (name === "with a length") assert.match(text, /set-cookie: a=1\r\nset-cookie: b=2\r\n/i);
      const outcome = await nextOutcome();
      assert.equal(outcome.kind === "answered" && outcome.status, Number(answer.slice(9, 12)));
    });
  }

  it("reset the client when such an answer breaks off", async (t) => {
    const { pod } = await headPod(t, (socket) => {
      socket.write("HTTP/1.1 500 No\r\nContent-Length: 30\r\n\r\nwho");
      setImmediate(() => socket.resetAndDestroy());
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    assert.equal((await client.end()).how, "reset");
    await nextOutcome();
  });

  it("take no more of a large answer than the client does", async (t) => {
    let written = 0;
    const total = 64 * 1024 * 1024;
    const stalled = Promise.withResolvers<void>();
    const { pod } = await headPod(t, (socket) => {
      socket.write(`HTTP/1.1 500 No\r\nContent-Length: ${total}\r\n\r\n`);
      const pump = () => {
        while (written < total) {
          written += 65_536;
          if (socket.write(Buffer.alloc(65_536))) continue;
          let turns = 0;
          const before = written;
          const look = () => {
            if (written !== before || socket.destroyed) return;
            if (++turns > 200) stalled.resolve();
            else setImmediate(look);
          };
          setImmediate(look);
          socket.once("drain", pump);
          return;
        }
      };
      pump();
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.socket.pause();
    client.send(handshake);
    await stalled.promise;
    assert.ok(written < total / 2, `${written} bytes were taken from the pod`);
    client.socket.destroy();
    await nextOutcome();
  });

  it("end when the forwarder closes", async (t) => {
    const { pod } = await headPod(t, (socket) => socket.write(switching));
    const { port, nextOutcome, forwarder, clock } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(handshake);
    await client.until("\r\n\r\n");
    await forwarder.close();
    assert.equal((await client.end()).how, "reset");
    await nextOutcome();
    assert.equal(clock.pendingTimers, 0);
  });
});
