import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { AddressPlan } from "../../src/node/address-plan.ts";
import { sampleAppPath } from "../../src/node/sample-app.ts";

let plan: AddressPlan;
let app: ChildProcess;
let base: string;

before(async () => {
  plan = await AddressPlan.claim();
  const ip = plan.nextPodAddress(1);
  base = `http://${ip}:8080`;
  const env = { POD_IP: ip, POD_NAME: "app-1", PORT: "8080" };
  app = spawn(process.execPath, [sampleAppPath], { env, stdio: ["ignore", "pipe", "inherit"] });
  await once(app.stdout!, "data");
});
after(async () => {
  app.kill("SIGKILL");
  await plan.close();
});

test("says who answers and who asked", async () => {
  const response = await fetch(base);
  assert.equal(await response.text(), "hello from app-1\n");
  assert.equal(response.headers.get("x-pod"), "app-1");
  assert.match(response.headers.get("x-peer") ?? "", /^127\.0\.0\.1:\d+$/);
});

test("sends bytes with a length and drips without one", async () => {
  const bytes = await fetch(`${base}/bytes?n=1000003`);
  assert.equal(bytes.headers.get("content-length"), "1000003");
  assert.equal((await bytes.arrayBuffer()).byteLength, 1_000_003);
  const drip = await fetch(`${base}/drip?n=3&ms=1`);
  assert.equal(drip.headers.get("content-length"), null);
  assert.equal(await drip.text(), "0\n1\n2\n");
});

test("echoes a body as it comes in, with what was asked in headers", async () => {
  const asked = request(`${base}/echo?a=1`, {
    method: "PUT",
    headers: { "X-Case": "Kept", "transfer-encoding": "chunked" },
  });
  asked.write("one");
  const [response] = await once(asked, "response");
  const chunks = response[Symbol.asyncIterator]();
  assert.equal(String((await chunks.next()).value), "one");
  asked.end("two");
  assert.equal(String((await chunks.next()).value), "two");
  assert.equal((await chunks.next()).done, true);
  assert.equal(response.headers["x-method"], "PUT");
  assert.equal(response.headers["x-url"], "/echo?a=1");
  const raw: string[] = JSON.parse(Buffer.from(response.headers["x-headers"], "base64").toString("latin1"));
  assert.equal(raw[raw.indexOf("X-Case") + 1], "Kept");
});

test("echoes WebSocket messages of every length form", async () => {
  const socket = new WebSocket(base.replace("http", "ws"));
  await once(socket, "open");
  for (const size of [5, 500, 70_000]) {
    const sent = Buffer.alloc(size, "ws");
    socket.send(sent);
    const [message] = await once(socket, "message");
    assert.ok(sent.equals(message));
  }
  socket.ping("x");
  await once(socket, "pong");
  socket.close(1000);
  assert.equal((await once(socket, "close"))[0], 1000);
});

test("echoes raw bytes for any other upgrade", async () => {
  const asked = request(base, { headers: { connection: "upgrade", upgrade: "anything" } });
  asked.end();
  const [response, socket] = await once(asked, "upgrade");
  assert.equal(response.statusCode, 101);
  socket.write("ping");
  assert.equal(String((await once(socket, "data"))[0]), "ping");
  socket.destroy();
});

test("counts requests, but neither probes nor scrapes; ends in good order on SIGTERM", async () => {
  const counted = async () => {
    const text = await (await fetch(`${base}/metrics`)).text();
    return Number(/app_requests_total\{method="GET",status="200"\} (\d+)/.exec(text)?.[1]);
  };
  const before = await counted();
  await (await fetch(`${base}/healthz`)).text();
  await (await fetch(base, { headers: { "user-agent": "kube-probe/1.36" } })).text();
  assert.equal(await counted(), before);
  await (await fetch(base)).text();
  assert.equal(await counted(), before + 1);
  const response = await fetch(`${base}/drip?n=2&ms=200`);
  const exited = once(app, "exit");
  app.kill("SIGTERM");
  assert.equal(await response.text(), "0\n1\n");
  assert.deepEqual(await exited, [0, null]);
});
