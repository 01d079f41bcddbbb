import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { front, hangingPod, headPod, RawClient, rawPod } from "./forward-support.ts";

const ok = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe("connections to pods", () => {
  it("are reused, one request at a time on each", async (t) => {
    const { pod, connections } = await headPod(t, (socket) => socket.write(ok("a")));
    const { port, forwarder, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    for (let i = 0; i < 3; i++) {
      client.forget();
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      await client.until("\r\n\r\na");
      await nextOutcome();
    }
    assert.equal(connections(), 1);
    assert.equal(forwarder.connectedPods, 1);
  });

  it("are bounded per pod; what is over is not sent and not queued", async (t) => {
    const arrived = Promise.withResolvers<void>();
    const { pod, heads } = await headPod(t, (_socket, _head, index) => {
      if (index === 1) arrived.resolve();
    });
    const { port, outcomes } = await front(t, pod, { forwarder: { maxPerPod: 2 } });
    for (let i = 0; i < 2; i++) new RawClient(t, port).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await arrived.promise;
    new RawClient(t, port).send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1");
    while (outcomes.length < 3) await new Promise((resolve) => setImmediate(resolve));
    const outcome = await outcomes[2]!;
    assert.equal(outcome.kind, "not-sent");
    assert.equal(heads.length, 2);
  });

  it("are forgotten with the pod", async (t) => {
    const { pod } = await headPod(t, (socket) => socket.end(ok("a")));
    const { port, forwarder, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("\r\n\r\na");
    await nextOutcome();
    while (forwarder.connectedPods > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it("give up a connect after one second", async (t) => {
    const { port, clock, nextOutcome } = await front(t, await hangingPod(t));
    new RawClient(t, port).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const outcome = nextOutcome();
    while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1_000);
    assert.equal((await outcome).kind, "not-sent");
  });
});

describe("a reused connection that ends without an answer", () => {
  /** A pod that answers the first request on its first connection and cuts it on the second; later ones answer. */
  async function racingPod(t: Parameters<typeof rawPod>[0]) {
    const requests: string[] = [];
    const pod = await rawPod(t, (socket, index) => {
      let seen = 0;
      socket.on("data", (chunk) => {
        requests.push(`${index}: ${chunk.toString("latin1").split(" ")[0]}`);
        seen += 1;
        if (index === 0 && seen === 2) socket.resetAndDestroy();
        else socket.write(ok("a"));
      });
    });
    return { pod, requests };
  }

  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    it(`is tried once more on a new connection for ${method}`, async (t) => {
      const requests: string[] = [];
      const pod = await rawPod(t, (socket, index) => {
        let seen = 0;
        socket.on("data", (chunk) => {
          const head = chunk.toString("latin1");
          requests.push(`${index}: ${head.split(" ")[0]}`);
          seen += 1;
          if (index === 0 && seen === 2) socket.resetAndDestroy();
          else socket.write(head.startsWith("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" : ok("a"));
        });
      });
      const { port, nextOutcome } = await front(t, pod);
      const client = new RawClient(t, port);
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      await client.until("\r\n\r\na");
      await nextOutcome();
      client.forget();
      client.send(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      await client.until("200 OK");
      assert.deepEqual(await nextOutcome(), { kind: "answered", status: 200, fromPod: true });
      assert.deepEqual(requests, ["0: GET", `0: ${method}`, `1: ${method}`]);
    });
  }

  for (const [method, extra] of [
    ["POST", "Content-Length: 3\r\n\r\nabc"],
    ["POST", "Content-Length: 0\r\n\r\n"],
    ["DELETE", "\r\n"],
    ["GET", "Content-Length: 3\r\n\r\nabc"],
    ["PUT", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
  ] as const) {
    it(`answers 502 and sends nothing twice for ${method} ${JSON.stringify(extra.slice(0, 24))}`, async (t) => {
      const { pod, requests } = await racingPod(t);
      const { port, nextOutcome } = await front(t, pod);
      const client = new RawClient(t, port);
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      await client.until("\r\n\r\na");
      await nextOutcome();
      client.forget();
      client.send(`${method} / HTTP/1.1\r\nHost: a\r\n${extra}`);
      const text = await client.until("urn:elasti:error:ELASTI_FORWARD_FAILED");
      assert.match(text, /^HTTP\/1.1 502 Bad Gateway\r\n/);
      assert.match(text, /elasti-reason: ELASTI_FORWARD_FAILED\r\n/i);
      assert.deepEqual(await nextOutcome(), { kind: "answered", status: 502, fromPod: false });
      assert.deepEqual(requests, ["0: GET", `0: ${method}`]);
    });
  }

  it("is not tried again when a byte of an answer had come", async (t) => {
    const requests: string[] = [];
    const pod = await rawPod(t, (socket, index) => {
      let seen = 0;
      socket.on("data", () => {
        requests.push(`${index}`);
        seen += 1;
        if (seen === 2) socket.end("HTTP/1.1 200");
        else socket.write(ok("a"));
      });
    });
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("\r\n\r\na");
    await nextOutcome();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("502 Bad Gateway");
    assert.deepEqual(requests, ["0", "0"]);
  });

  it("costs nothing when the pod had closed it before", async (t) => {
    const pod = await rawPod(t, (socket) => socket.on("data", () => socket.end(ok("a"))));
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    for (let i = 0; i < 20; i++) {
      client.forget();
      client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
      await client.until("\r\n\r\na");
      assert.deepEqual(await nextOutcome(), { kind: "answered", status: 200, fromPod: true });
    }
  });
});

describe("a new connection that ends without an answer", () => {
  it("is answered 502, whatever the method", async (t) => {
    let requests = 0;
    const pod = await rawPod(t, (socket) =>
      socket.on("data", () => {
        requests += 1;
        socket.end();
      }),
    );
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("ELASTI_FORWARD_FAILED");
    assert.equal(requests, 1);
  });

  it("counts as not sent while not a byte was written, with the body intact", async (t) => {
    // the engine sends the head with the first piece of the body, so a client that waits has nothing sent for it
    const cut = await rawPod(t, (socket) => setImmediate(() => socket.resetAndDestroy()));
    const reached = Promise.withResolvers<void>();
    let got = "";
    const pod = await rawPod(t, (socket) => {
      reached.resolve();
      socket.on("data", (chunk) => {
        got += chunk.toString("latin1");
        if (got.endsWith("abc")) socket.write(ok("a"));
      });
    });
    const { port, nextOutcome } = await front(t, [cut, cut, pod]);
    const client = new RawClient(t, port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    await reached.promise;
    client.send("abc");
    await client.until("\r\n\r\na");
    assert.match(got, /content-length: 3\r\n\r\nabc$/);
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 200, fromPod: true });
  });
});

describe("what the engine would trip over", () => {
  it("goes on after Expect: 100-continue, and the pod never sees it", async (t) => {
    const { pod, heads } = await headPod(t, (socket) => socket.write(ok("a")));
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    const text = await client.until("\r\n\r\na");
    assert.equal(text.match(/100 Continue/g)?.length, 1);
    assert.doesNotMatch(heads[0]!, /expect/i);
  });

  for (const [name, pieces] of [
    ["at once with the answer", ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"]],
    ["twice, with fields, in pieces", ["HTTP", "/1.1 100 Go on\r\nX: 1\r", "\n\r\nHTTP/1.1 100\r\n\r\n", ok("a")]],
  ] as const) {
    it(`drops a 100 that nobody asked for: ${name}`, async (t) => {
      const { pod } = await headPod(t, async (socket) => {
        for (const piece of pieces) {
          socket.write(piece);
          for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
        }
      });
      const { port, nextOutcome } = await front(t, pod);
      const client = new RawClient(t, port);
      for (let i = 0; i < 2; i++) {
        client.forget();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        const text = await client.until("\r\n\r\na");
        assert.doesNotMatch(text, /HTTP\/1.1 100/);
        assert.deepEqual(await nextOutcome(), { kind: "answered", status: 200, fromPod: true });
      }
    });
  }

  for (const method of ["DELETE", "OPTIONS", "PATCH"]) {
    it(`keeps the framing of a chunked ${method}`, async (t) => {
      const parts: string[] = [];
      const pod = await rawPod(t, (socket) =>
        socket.on("data", (chunk) => {
          parts.push(chunk.toString("latin1"));
          if (parts.join("").endsWith("0\r\n\r\n")) socket.write(ok("a"));
        }),
      );
      const { port } = await front(t, pod);
      const client = new RawClient(t, port);
      client.send(`${method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n`);
      await client.until("\r\n\r\na");
      const seen = parts.join("");
      assert.match(seen, /transfer-encoding: chunked\r\n\r\n5\r\nGET \/\r\n0\r\n\r\n$/i);
      assert.doesNotMatch(seen, /content-length/i);
    });
  }

  it("takes heads of answers over 16 KB", async (t) => {
    const { pod } = await headPod(t, (socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nX-Big: ${"x".repeat(40_000)}\r\nContent-Length: 1\r\n\r\na`),
    );
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.ok((await client.until("\r\n\r\na")).length > 40_000);
  });

  it("drops trailers of requests and keeps their bodies", async (t) => {
    const parts: string[] = [];
    const pod = await rawPod(t, (socket) =>
      socket.on("data", (chunk) => {
        parts.push(chunk.toString("latin1"));
        if (parts.join("").endsWith("0\r\n\r\n")) socket.write(ok("a"));
      }),
    );
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n",
    );
    await client.until("\r\n\r\na");
    assert.doesNotMatch(parts.join(""), /X: 1|trailer/i);
  });

  it("turns an absolute target into a path and its host", async (t) => {
    const { pod, heads } = await headPod(t, (socket) => socket.write(ok("a")));
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET http://real.example:81?x=1 HTTP/1.1\r\nHost: other\r\n\r\n");
    await client.until("\r\n\r\na");
    assert.match(heads[0]!, /^GET \/\?x=1 HTTP\/1.1\r\nhost: real.example:81\r\n/);
  });

  it("serves HTTP/1.0 without a Host", async (t) => {
    const { pod, heads } = await headPod(t, (socket) => socket.write(ok("a")));
    const { port } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert.match((await client.end()).text, /\r\n\r\na$/);
    assert.match(heads[0]!, new RegExp(`^GET / HTTP/1.1\r\nhost: 127.0.0.1:${pod.port}\r\n`));
  });
});

describe("what two readers could read in two ways", () => {
  it("refuses an asterisk and sends nothing", async (t) => {
    const { pod, connections } = await headPod(t, () => {});
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    const text = await client.until("ELASTI_BAD_REQUEST");
    assert.match(text, /^HTTP\/1.1 400 Bad Request\r\n/);
    assert.deepEqual(await nextOutcome(), { kind: "answered", status: 400, fromPod: false });
    assert.equal(connections(), 0);
  });

  for (const [name, head] of [
    ["both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"],
    ["a chunked that is not last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n"],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n"],
    ["a bare line feed in a field", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n"],
    ["an obsolete fold", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Transfer-Encoding: chunked\r\n\r\n"],
  ] as const) {
    it(`never lets a pod see ${name} as it came`, async (t) => {
      const { pod, heads } = await headPod(t, (socket) => socket.write(ok("a")));
      const { port } = await front(t, pod);
      const client = new RawClient(t, port);
      client.send(head);
      client.socket.end();
      await client.end();
      for (const seen of heads) {
        assert.doesNotMatch(seen, /\r\n[ \t]|[^\r]\n| :/);
        assert.ok(!/content-length/i.test(seen) || !/transfer-encoding/i.test(seen));
      }
    });
  }

  it("gives an answer that a pod sends after the end of one to nobody", async (t) => {
    const pod = await rawPod(t, (socket) =>
      socket.on("data", () => socket.write(`${ok("a")}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`)),
    );
    const { port, nextOutcome } = await front(t, pod);
    const client = new RawClient(t, port);
    for (let i = 0; i < 3; i++) {
      client.forget();
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      assert.doesNotMatch(await client.until("\r\n\r\n"), /poison/);
      await nextOutcome();
    }
    client.socket.end();
    await once(client.socket, "close");
    assert.doesNotMatch(client.text, /poison/);
  });
});
