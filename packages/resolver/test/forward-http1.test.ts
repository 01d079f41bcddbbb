import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import { deadPod, front, headPod, httpPod, RawClient, rawPod } from "./forward-support.ts";

const sha = (data: Buffer): string => createHash("sha256").update(data).digest("hex");
const MB5 = 5 * 1024 * 1024;

async function read(stream: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe("HTTP/1 forwarding", () => {
  it("keeps case, order and duplicates of fields in both directions", async (t) => {
    const { pod, heads } = await headPod(t, (socket) => {
      socket.write(
        "HTTP/1.1 299 Fine \xe9\r\nX-Bb: 1\r\nx-AA: \xe4\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
        "latin1",
      );
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(
      "GET /p%2f?q=%e4&& HTTP/1.1\r\nHost: Web:80\r\nX-b: 1\r\nX-A: \xfc\r\nx-B: 2\r\nCookie: c\r\nCookie: d\r\n\r\n",
    );
    const text = await client.until("ok");
    assert.match(heads[0]!, /^GET \/p%2f\?q=%e4&& HTTP\/1.1\r\nhost: Web:80\r\n/);
    assert.match(heads[0]!, /X-b: 1\r\nX-A: \xfc\r\nx-B: 2\r\nCookie: c\r\nCookie: d\r\n/);
    assert.match(heads[0]!, /X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Web:80/);
    assert.doesNotMatch(heads[0]!, /via/i);
    assert.match(text, /^HTTP\/1.1 299 /);
    assert.match(text, /X-Bb: 1\r\nx-AA: \xe4\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n/);
    assert.doesNotMatch(text, /\r\nDate:/i);
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 299, fromPod: true });
  });

  it("appends to X-Forwarded-For and leaves the others as they came", async (t) => {
    const { pod, heads } = await headPod(t, (socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n\r\n",
    );
    await client.until("\r\n\r\n");
    assert.match(heads[0]!, /X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 127.0.0.1\r\n/);
    assert.match(heads[0]!, /X-Forwarded-Proto: https\r\nX-Forwarded-Host: b/);
    assert.equal(heads[0]!.match(/x-forwarded-proto/gi)?.length, 1);
  });

  it("removes hop-by-hop fields and those that Connection lists, but never Host", async (t) => {
    const { pod, heads } = await headPod(t, (socket) => {
      socket.write(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nUpgrade: h9\r\nProxy-Connection: x\r\nContent-Length: 0\r\nY: 1\r\n\r\n",
      );
    });
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Gone, host, Content-Length, keep-alive\r\nX-Gone: 1\r\nTE: trailers\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nKeep-Alive: 1\r\nTrailer: z\r\nX-Kept: 1\r\n\r\n",
    );
    const text = await client.until("\r\n\r\n");
    assert.match(heads[0]!, /host: a\r\nconnection: keep-alive\r\nX-Kept: 1\r\nX-Forwarded-For/);
    assert.doesNotMatch(heads[0]!, /X-Gone|TE:|Proxy-|Upgrade|Trailer/i);
    assert.doesNotMatch(text, /X-Hop|Upgrade|Proxy-|timeout=9/i);
    assert.match(text, /Y: 1/);
  });

  it("streams 5 MB both ways unharmed", async (t) => {
    const up = randomBytes(MB5);
    const down = randomBytes(MB5);
    const got = Promise.withResolvers<string>();
    const { pod } = await httpPod(t, async (request, response) => {
      got.resolve(sha(await read(request)));
      response.end(down);
    });
    const { port, nextOutcome } = await front(t, pod);
    for (const headers of [{ "content-length": MB5 }, { "transfer-encoding": "chunked" }]) {
      const request = httpRequest({ port, method: "PUT", headers, agent: false });
      request.end(up);
      const [response] = (await once(request, "response")) as [IncomingMessage];
      assert.equal(sha(await read(response)), sha(down));
      assert.equal(await got.promise, sha(up));
      assert.equal((await nextOutcome()).kind, "answered");
    }
  });

  it("stops reading from the pod when the client does not read", async (t) => {
    let written = 0;
    const total = 64 * 1024 * 1024;
    const stalled = Promise.withResolvers<void>();
    const { pod } = await httpPod(t, (_request, response) => {
      response.writeHead(200, { "content-length": total });
      const pump = () => {
        while (written < total) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) {
            const before = written;
            // stalled when nothing moves for a while of turns
            let turns = 0;
            const look = () => {
              if (written !== before || response.destroyed) return;
              if (++turns > 200) stalled.resolve();
              else setImmediate(look);
            };
            setImmediate(look);
            response.once("drain", pump);
            return;
          }
        }
      };
      pump();
    });
    const { port, nextOutcome } = await front(t, pod);
    const request = httpRequest({ port, agent: false });
    request.end();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    await stalled.promise;
    assert.ok(written < total / 2, `${written} bytes were taken from the pod`);
    response.destroy();
    assert.deepEqual(await nextOutcome(), { kind: "client-left" });
  });

  it("leaves the request unread when the connect is refused, so that the next pod gets all 5 MB", async (t) => {
    const up = randomBytes(MB5);
    const { pod } = await httpPod(t, async (request, response) => {
      response.end(sha(await read(request)));
    });
    const { port, nextOutcome } = await front(t, [await deadPod(), await deadPod(), pod]);
    const request = httpRequest({ port, method: "POST", headers: { "content-length": MB5 }, agent: false });
    request.end(up);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    assert.equal((await read(response)).toString(), sha(up));
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 200, fromPod: true });
  });

  it("says not-sent with the error of a refused connect", async (t) => {
    const { port, nextOutcome } = await front(t, await deadPod());
    new RawClient(t, port).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    const outcome = await nextOutcome();
    assert.equal(outcome.kind, "not-sent");
    assert.match(String(outcome.kind === "not-sent" && outcome.error), /ECONNREFUSED/);
  });

  it("passes on 103 and answers trailers", async (t) => {
    const { pod } = await headPod(t, (socket) => {
      socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
      socket.write(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n",
      );
    });
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const text = await client.until("X-Sum: 2\r\n\r\n");
    assert.match(text, /^HTTP\/1.1 103 Early Hints\r\nLink: <\/a>; rel=preload\r\n\r\nHTTP\/1.1 200 OK\r\n/);
    assert.match(text, /Trailer: X-Sum\r\n/);
    assert.match(text, /3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n$/);
  });

  it("drops trailers that the client cannot take", async (t) => {
    const { pod } = await headPod(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n");
    });
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    const { how, text } = await client.end();
    assert.equal(how, "end");
    assert.doesNotMatch(text, /Trailer|chunked/i);
    assert.match(text, /\r\n\r\nabc$/);
  });

  it("answers HEAD, 204 and 304 without a body and goes on with the connection", async (t) => {
    const { pod } = await headPod(t, (socket, head) => {
      if (head.startsWith("HEAD")) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
      else if (head.includes("/204")) socket.write("HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n");
      else if (head.includes("/304"))
        socket.write("HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n");
      else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast");
    });
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(await client.until("\r\n\r\n"), /Content-Length: 12345/);
    client.send("GET /204 HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("204 No Content");
    client.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("ETag: x\r\nContent-Length: 99");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("\r\n\r\nlast");
  });

  it("sends the head of an event stream before its first event", async (t) => {
    const { pod } = await headPod(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    });
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("text/event-stream\r\n");
  });

  it("passes on an early 413 while the body is still coming, and keeps the client's connection", async (t) => {
    const { pod } = await headPod(t, (socket, head) => {
      if (head.startsWith("POST")) {
        socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
        socket.resume();
      } else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
    });
    const { port, nextOutcome } = await front(t, pod, { closeConnection: true });
    const client = new RawClient(t, port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${MB5}\r\n\r\n`);
    client.send(Buffer.alloc(1_000_000));
    await client.until("\r\n\r\nbig");
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 413, fromPod: true });
    client.send(Buffer.alloc(MB5 - 1_000_000));
    const { how } = await client.end();
    assert.equal(how, "end");
  });

  it("ends a client that goes on sending for ever after its answer", async (t) => {
    const { pod } = await headPod(t, (socket) =>
      socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"),
    );
    const { port, clock, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${MB5}\r\n\r\nabc`);
    await client.until("\r\n\r\nbig");
    await nextOutcome();
    await clock.advance(5_000);
    await client.end();
    assert.equal(clock.pendingTimers, 0);
  });

  for (const [framing, head, body, version] of [
    ["Content-Length", "Content-Length: 10\r\n", "12345", "1.1"],
    ["chunked", "Transfer-Encoding: chunked\r\n", "5\r\n12345\r\n", "1.1"],
    ["the end of the connection", "", "12345", "1.0"],
  ] as const) {
    it(`resets the client when the pod breaks off a body framed by ${framing}`, async (t) => {
      const sent = Promise.withResolvers<() => void>();
      const { pod } = await headPod(t, (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n${body}`);
        sent.resolve(() => socket.resetAndDestroy());
      });
      const { port, nextOutcome } = await front(t, pod);
      const client = new RawClient(t, port);
      client.send(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
      await client.until("12345");
      (await sent.promise)();
      const { how } = await client.end();
      assert.equal(how, "reset");
      assert.deepEqual(await nextOutcome(), { kind: "answered", status: 200, fromPod: false });
    });
  }

  it("resets the client when the pod ends a counted body too early in good order", async (t) => {
    const { pod } = await headPod(t, (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"));
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.end()).how, "reset");
  });

  it("passes on a body that ends with the pod's connection", async (t) => {
    const { pod } = await headPod(t, (socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nall of it"));
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(await client.until("0\r\n\r\n"), /9\r\nall of it\r\n0\r\n\r\n$/);
  });

  it("aborts the pod's side at once when the client leaves", async (t) => {
    const gone = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const pod = await rawPod(t, (socket) => {
      socket.once("data", () => arrived.resolve());
      socket.on("end", () => gone.resolve()).on("error", () => gone.resolve());
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await arrived.promise;
    client.socket.destroy();
    await gone.promise;
    assert.deepEqual(await nextOutcome(), { kind: "client-left" });
  });

  it("aborts the pod's side when the client leaves inside its body", async (t) => {
    const gone = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const pod = await rawPod(t, (socket) => {
      socket.once("data", () => arrived.resolve());
      socket.on("end", () => gone.resolve()).on("error", () => gone.resolve());
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    await arrived.promise;
    client.socket.resetAndDestroy();
    await gone.promise;
    assert.deepEqual(await nextOutcome(), { kind: "client-left" });
  });

  it("adds its own fields and asks the client to go", async (t) => {
    const { pod } = await headPod(t, (socket) =>
      socket.write("HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nContent-Length: 2\r\n\r\nok"),
    );
    const { port } = await front(t, pod, { serverTiming: "start;dur=3", coldStartMs: 12.4, closeConnection: true });
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const { text } = await client.end();
    assert.match(text, /Server-Timing: db;dur=1\r\n/);
    assert.match(text, /server-timing: start;dur=3, forward;dur=0.0\r\nelasti-cold-start: 12\r\n/);
    assert.match(text, /Connection: close/i);
  });
});
