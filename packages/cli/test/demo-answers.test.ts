import assert from "node:assert/strict";
import { test } from "node:test";
import { isDirect, listeningAt, podOf, readHead } from "../src/demo/answer.ts";
import { mergeMetrics } from "../src/demo/app-metrics.ts";

const head = readHead(
  "HTTP/1.1 200 OK\r\nX-Pod: web-1\r\nx-peer: 127.121.0.1:4711\r\nx-listening-at: 1700000000000\r\n" +
    "Server-Timing: hold;dur=590.1, notify;dur=4.5, start\r\n\r\nhello",
)!;

test("reads the head of an answer once it is whole", () => {
  assert.equal(readHead("HTTP/1.1 200 OK\r\nx-pod: a\r\n"), undefined);
  assert.equal(head.status, 200);
  assert.equal(podOf(head), "web-1");
  assert.equal(listeningAt(head), 1_700_000_000_000);
});

test("a request is direct when the pod saw the client's own address", () => {
  assert.equal(isDirect(head, "127.121.0.1"), true);
  assert.equal(isDirect(head, "127.121.0.11"), false);
  assert.equal(isDirect(head, "127.121.0"), false);
});

test("merges the metrics of several pods, each series with its pod", () => {
  const one = '# HELP hits Requests.\n# TYPE hits counter\nhits{code="200"} 3\n# TYPE busy gauge\nbusy 1\n';
  const two = '# HELP hits Requests.\n# TYPE hits counter\nhits{code="200"} 4\n';
  assert.equal(
    mergeMetrics([
      { pod: "a", text: one },
      { pod: "b", text: two },
      { pod: "c", text: "" },
    ]),
    '# HELP hits Requests.\n# TYPE hits counter\nhits{pod="a",code="200"} 3\nhits{pod="b",code="200"} 4\n' +
      '# TYPE busy gauge\nbusy{pod="a"} 1\n',
  );
  assert.equal(mergeMetrics([]), "");
});
