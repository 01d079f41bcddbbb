import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findHeadEnd, protocolOf, scanHead } from "../../src/listeners/head-scan.ts";

const scan = (text: string) => {
  const bytes = Buffer.from(text, "latin1");
  return scanHead(bytes, findHeadEnd(bytes, 0));
};

describe("head scan", () => {
  test("reads line and fields, joins repeated ones", () => {
    const head = scan("GET /a?b HTTP/1.1\r\nHost: web\r\nX: 1\r\nx:  2 \r\n\r\nbody");
    assert.equal(head?.method, "GET");
    assert.equal(head?.url, "/a?b");
    assert.deepEqual({ ...head?.headers }, { host: "web", x: "1, 2" });
  });

  const left = [
    "get / HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/2.0\r\nhost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
  ];
  for (const text of left) {
    test(`leaves to the HTTP server: ${JSON.stringify(text)}`, () => assert.equal(scan(text), undefined));
  }

  test("finds the end of a head wherever it was cut", () => {
    const bytes = Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    for (let cut = 0; cut < bytes.length; cut++) assert.equal(findHeadEnd(bytes, cut), bytes.length);
  });

  test("knows TLS and HTTP/2 by their first bytes", () => {
    assert.equal(protocolOf(Buffer.from([0x16])), "tls");
    assert.equal(protocolOf(Buffer.from([0x16, 0x03, 0x01])), "tls");
    assert.equal(protocolOf(Buffer.from("P")), "undecided");
    assert.equal(protocolOf(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), "http2");
    assert.equal(protocolOf(Buffer.from("POST / HTTP/1.1")), "http1");
    assert.equal(protocolOf(Buffer.from("GET")), "http1");
  });
});
