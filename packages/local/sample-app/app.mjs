// The application of the demo, the tests and the benchmarks. It listens on POD_IP:PORT once START_MS have passed.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const {
  POD_IP = "127.0.0.1",
  POD_NAME = process.env.HOSTNAME ?? "app",
  PORT = "8080",
  START_MS = "0",
  STOP_DELAY_MS = "0",
} = process.env;
const startedAt = Date.now();
/** When it began to listen, ms since the epoch; every answer says it, so that a client can tell what was added to it. */
let listeningAt = 0;
/** @type {Map<string, number>} method and status -> requests */
const counts = new Map();
let inFlight = 0;
let stopping = false;
/** @type {Map<import("node:stream").Duplex, Buffer>} open upgraded connections and what is said to them at the end */
const upgraded = new Map();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function handle(request, response) {
  const url = new URL(request.url, "http://app");
  const number = (name, fallback) => Number(url.searchParams.get(name) ?? fallback);
  const probe =
    url.pathname === "/healthz" ||
    url.pathname === "/metrics" ||
    /^kube-probe\//.test(request.headers["user-agent"] ?? "");
  response.setHeader("x-pod", POD_NAME);
  response.setHeader("x-listening-at", listeningAt);
  response.setHeader("x-peer", `${request.socket.remoteAddress}:${request.socket.remotePort}`);
  if (stopping) response.setHeader("connection", "close");
  // a connection whose last answer began before the end was known is idle only now
  response.once("close", () => stopping && setImmediate(() => server.closeIdleConnections()));
  if (!probe) {
    inFlight += 1;
    response.once("close", () => {
      inFlight -= 1;
      const key = `${request.method} ${response.statusCode}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    });
  }
  switch (url.pathname) {
    case "/healthz":
      return response.end("ok\n");
    case "/metrics":
      return response.setHeader("content-type", "text/plain; version=0.0.4").end(metrics());
    case "/bytes":
      return sendBytes(response, number("n", 1024));
    case "/drip": {
      // n chunks, ms apart, with no length announced
      for (let i = 0; i < number("n", 5) && !response.destroyed; i++) {
        if (i > 0) await sleep(number("ms", 100));
        response.write(`${i}\n`);
      }
      return response.end();
    }
    case "/slow":
      await sleep(number("ms", 1000));
      return response.end(`slow from ${POD_NAME}\n`);
    case "/status":
      response.statusCode = number("code", 200);
      return response.end();
    case "/echo":
      response.setHeader("x-method", request.method);
      response.setHeader("x-url", request.url);
      response.setHeader("x-headers", Buffer.from(JSON.stringify(request.rawHeaders), "latin1").toString("base64"));
      if (request.headers["content-type"] !== undefined)
        response.setHeader("content-type", request.headers["content-type"]);
      if (request.headers["content-length"] !== undefined)
        response.setHeader("content-length", request.headers["content-length"]);
      request.on("error", () => response.destroy());
      return request.pipe(response);
    case "/exit":
      response.end("exiting\n", () => process.exit(number("code", 1)));
      return;
    default:
      response.setHeader("content-type", "text/plain; charset=utf-8");
      return response.end(`hello from ${POD_NAME}\n`);
  }
}

/** A body of n bytes with its length, written no faster than it is read. */
async function sendBytes(response, total) {
  response.setHeader("content-type", "application/octet-stream");
  response.setHeader("content-length", total);
  const block = Buffer.alloc(65_536, "elasti--");
  for (let left = total; left > 0 && !response.destroyed; left -= block.length) {
    if (response.write(left >= block.length ? block : block.subarray(0, left))) continue;
    await writable(response);
  }
  response.end();
}

function writable(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}

function metrics() {
  const lines = [
    "# HELP app_requests_total Requests answered, without probes and scrapes.",
    "# TYPE app_requests_total counter",
  ];
  if (counts.size === 0) lines.push('app_requests_total{method="GET",status="200"} 0');
  for (const [key, count] of counts) {
    const [method, status] = key.split(" ");
    lines.push(`app_requests_total{method="${method}",status="${status}"} ${count}`);
  }
  lines.push("# HELP app_requests_in_flight Requests being answered now.", "# TYPE app_requests_in_flight gauge");
  lines.push(`app_requests_in_flight ${inFlight + upgraded.size}`);
  return `${lines.join("\n")}\n`;
}

/** WebSocket echo (RFC 6455): whole frames come back unmasked, pings are answered, a close is answered and ends it. */
function echoFrames(socket, head) {
  let pending = head;
  const take = (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    for (;;) {
      if (pending.length < 2) return;
      let length = pending[1] & 127;
      let at = 2;
      if (length === 126) {
        if (pending.length < 4) return;
        length = pending.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (pending.length < 10) return;
        length = Number(pending.readBigUInt64BE(2));
        at = 10;
      }
      const masked = (pending[1] & 128) !== 0;
      const end = at + (masked ? 4 : 0) + length;
      if (pending.length < end) return;
      const payload = Buffer.from(pending.subarray(end - length, end));
      if (masked) for (let i = 0; i < length; i++) payload[i] ^= pending[at + (i & 3)];
      const opcode = pending[0] & 15;
      // a ping (9) is answered by a pong (10); a pong needs no answer
      if (opcode !== 10)
        socket.write(Buffer.concat([frameHead(opcode === 9 ? (pending[0] & 240) | 10 : pending[0], length), payload]));
      pending = pending.subarray(end);
      if (opcode === 8) return socket.end();
    }
  };
  socket.on("data", take);
  take(Buffer.alloc(0));
}

function frameHead(first, length) {
  if (length < 126) return Buffer.from([first, length]);
  const head = Buffer.alloc(length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 65_536 ? 126 : 127;
  if (length < 65_536) head.writeUInt16BE(length, 2);
  else head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    response.destroy();
  });
});

server.on("upgrade", (request, socket, head) => {
  socket.on("error", () => socket.destroy());
  socket.once("close", () => upgraded.delete(socket));
  const key = `${request.method} 101`;
  counts.set(key, (counts.get(key) ?? 0) + 1);
  const lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", `x-pod: ${POD_NAME}`];
  lines.push(`x-peer: ${request.socket.remoteAddress}:${request.socket.remotePort}`);
  const webSocket = request.headers.upgrade.toLowerCase() === "websocket";
  // a close frame: 1001, going away
  upgraded.set(socket, webSocket ? Buffer.from([0x88, 2, 0x03, 0xe9]) : Buffer.alloc(0));
  if (webSocket) {
    const accept = createHash("sha1").update(
      `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
    );
    lines.push("Upgrade: websocket", `Sec-WebSocket-Accept: ${accept.digest("base64")}`);
  } else lines.push(`Upgrade: ${request.headers.upgrade}`);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  if (webSocket) return echoFrames(socket, head);
  // any other protocol: the bytes come back as they are
  if (head.length > 0) socket.write(head);
  socket.pipe(socket);
});

/** Goes on for STOP_DELAY_MS, as behind a preStop hook that sleeps. */
function stopLater() {
  if (Number(STOP_DELAY_MS) === 0) stop();
  else setTimeout(stop, Number(STOP_DELAY_MS));
}

/** Accepts nothing more, finishes what is in flight, and exits. */
function stop() {
  if (stopping) return;
  stopping = true;
  for (const [socket, goodbye] of upgraded) socket.end(goodbye);
  if (!server.listening) process.exit(0);
  server.close(() => process.exit(0));
}

process.on("SIGTERM", stopLater);
process.on("SIGINT", stopLater);
// work that the process does before it can listen
setTimeout(() => {
  if (stopping) return;
  server.keepAliveTimeout = 60_000;
  server.listen({ host: POD_IP, port: Number(PORT), backlog: 1024 }, () => {
    listeningAt = Date.now();
    process.stdout.write(`${POD_NAME} listens on ${POD_IP}:${PORT} after ${Date.now() - startedAt} ms\n`);
  });
}, Number(START_MS));
