import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { createServer as createTcpServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import {
  parseSessionUp,
  SESSION_LINE_BYTES,
  SESSION_PING_MS,
  type ServedRoute,
  type SessionDown,
  type SessionUp,
} from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import type { ResolverView, SealAnswer, SilentReport, TrafficReport } from "../src/contracts.ts";
import type { OperatorEndpoint } from "../src/operator-endpoints.ts";
import { OperatorSessions } from "../src/session.ts";
import { deadPod, portOf } from "./forward-support.ts";

/** One session as the operator sees it. */
class OperatorEnd {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly lines: SessionUp[] = [];
  closed = false;
  #text = "";
  #wake = Promise.withResolvers<void>();

  constructor(request: IncomingMessage, socket: Duplex) {
    this.request = request;
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString();
      for (let end = this.#text.indexOf("\n"); end >= 0; end = this.#text.indexOf("\n")) {
        const line: unknown = JSON.parse(this.#text.slice(0, end));
        assert.ok(parseSessionUp.Check(line), `not a session line: ${this.#text.slice(0, end)}`);
        this.lines.push(line);
        this.#text = this.#text.slice(end + 1);
      }
      this.#stir();
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      this.closed = true;
      this.#stir();
    });
  }

  #stir(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  send(line: SessionDown): void {
    this.socket.write(`${JSON.stringify(line)}\n`);
  }

  /** The first line of a type that was not taken yet. */
  async take<K extends SessionUp["type"]>(type: K): Promise<Extract<SessionUp, { type: K }>> {
    for (;;) {
      const at = this.lines.findIndex((line) => line.type === type);
      if (at >= 0) return this.lines.splice(at, 1)[0] as Extract<SessionUp, { type: K }>;
      if (this.closed) throw new Error(`session closed before ${type}`);
      await this.#wake.promise;
    }
  }

  async end(): Promise<void> {
    while (!this.closed) await this.#wake.promise;
  }
}

class Operator {
  readonly sessions: OperatorEnd[] = [];
  readonly port: number;
  #taken = 0;
  #wake = Promise.withResolvers<void>();

  constructor(port: number) {
    this.port = port;
  }

  add(session: OperatorEnd): void {
    this.sessions.push(session);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async next(): Promise<OperatorEnd> {
    while (this.sessions.length <= this.#taken) await this.#wake.promise;
    return this.sessions[this.#taken++]!;
  }
}

async function operator(t: TestContext, options: { refuse?: () => boolean } = {}): Promise<Operator> {
  const server = createServer((_request, response) => response.writeHead(426).end());
  const sockets = new Set<Duplex>();
  server.on("connection", (socket) => sockets.add(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const made = new Operator(portOf(server));
  server.on("upgrade", (request, socket) => {
    if (options.refuse?.() === true) {
      socket.end("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      return;
    }
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: elasti-session\r\n\r\n");
    made.add(new OperatorEnd(request, socket));
  });
  return made;
}

const report = (service: string, requests = 1): TrafficReport => ({
  namespace: "default",
  service,
  requests,
  inFlight: 0,
  held: 0,
  idleMs: -1,
  answeredEpoch: 0,
});

const served = (resolverPort: number, service: string): ServedRoute => ({
  resolverPort,
  namespace: "default",
  service,
  port: 80,
});

/** A resolver that the test plays. */
class View implements ResolverView {
  listening: number[] = [10_000];
  all: TrafficReport[] = [];
  changed: TrafficReport[] = [];
  silent: SilentReport[] = [];
  answer: SealAnswer = { ok: true };
  readonly seals: unknown[] = [];
  owner = "web";
  routes = () => this.listening.map((resolverPort) => served(resolverPort, this.owner));
  traffic = () => this.all;
  takeChanged = () => this.changed.splice(0);
  takeSilent = () => this.silent.splice(0);
  urgent: (report: TrafficReport) => void = () => {};
  portsMoved = () => {};
  silentSeen = () => {};
  onPorts = (listener: () => void) => {
    this.portsMoved = listener;
    return () => {};
  };
  onUrgent = (listener: (report: TrafficReport) => void) => {
    this.urgent = listener;
    return () => {};
  };
  onSilent = (listener: () => void) => {
    this.silentSeen = listener;
    return () => {};
  };
  seal = (...given: unknown[]) => {
    this.seals.push(given);
    return this.answer;
  };
}

function resolver(t: TestContext, ports: number[]) {
  const clock = new ManualClock();
  const view = new View();
  let endpoints = ports.map(
    (port): OperatorEndpoint => ({ key: `${port}`, name: `o${port}`, address: "127.0.0.1", port, ready: true }),
  );
  let changed = () => {};
  const sessions = new OperatorSessions({
    endpoints: {
      list: () => endpoints,
      onChange: (listener) => {
        changed = listener;
        return () => {};
      },
    },
    view,
    identity: { resolver: "r1", namespace: "elasti", node: "n1", addresses: ["127.0.0.7"] },
    token: async () => "secret",
    clock,
    logger: silentLogger,
    random: () => 1,
  });
  t.after(() => sessions.close());
  sessions.start();
  return {
    clock,
    view,
    sessions,
    remove(port: number) {
      endpoints = endpoints.filter((endpoint) => endpoint.port !== port);
      changed();
    },
  };
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

describe("session", () => {
  it("dials every replica, says who it is and tells all its traffic", async (t) => {
    const operators = [await operator(t), await operator(t)];
    const { view, sessions } = resolver(
      t,
      operators.map(({ port }) => port),
    );
    view.all = Array.from({ length: 501 }, (_, i) => report(`s${i}`));
    for (const one of operators) {
      const session = await one.next();
      assert.equal(session.request.url, "/informer/session");
      assert.equal(session.request.headers.upgrade, "elasti-session");
      assert.equal(session.request.headers.authorization, "Bearer secret");
      assert.deepEqual(await session.take("hello"), {
        type: "hello",
        resolver: "r1",
        namespace: "elasti",
        node: "n1",
        addresses: ["127.0.0.7"],
        ports: [10_000],
      });
      // it came before the hello
      assert.deepEqual(session.lines[0], { type: "routes", routes: [served(10_000, "web")] });
      assert.equal((await session.take("traffic")).services.length, 500);
      assert.equal((await session.take("traffic")).services.length, 1);
    }
    assert.equal(sessions.connected, 2);
  });

  it("tells changes at most once a second, and the first request in Draining at once", async (t) => {
    const one = await operator(t);
    const { clock, view, sessions } = resolver(t, [one.port]);
    const session = await one.next();
    await session.take("hello");
    await session.take("routes");
    await until(() => sessions.connected === 1);
    view.changed.push(report("web", 2));
    await clock.advance(999);
    view.urgent(report("web", 1));
    assert.equal((await session.take("traffic")).services[0]?.requests, 1);
    await clock.advance(1);
    assert.equal((await session.take("traffic")).services[0]?.requests, 2);
    await clock.advance(1_000);
    assert.deepEqual(session.lines, []);
  });

  it("tells ports that open together in one line, and silent connections at once", async (t) => {
    const one = await operator(t);
    const { clock, view, sessions } = resolver(t, [one.port]);
    const session = await one.next();
    await until(() => sessions.connected === 1);
    await session.take("routes");
    view.listening = [10_000, 10_001];
    view.portsMoved();
    view.listening = [10_000, 10_001, 10_002];
    view.portsMoved();
    await clock.advance(20);
    assert.deepEqual((await session.take("ports")).ports, [10_000, 10_001, 10_002]);
    assert.deepEqual((await session.take("routes")).routes, [served(10_001, "web"), served(10_002, "web")]);
    const peers = [{ address: "127.0.0.9", port: 1_234, openMs: 12.5 }];
    view.silent.push({ namespace: "default", service: "web", peers });
    view.silentSeen();
    assert.deepEqual(await session.take("silent"), { type: "silent", namespace: "default", service: "web", peers });
    assert.equal(session.lines.filter(({ type }) => type === "ports").length, 0);
  });

  it("tells what a port leads to whenever that changes, to each operator that does not know it", async (t) => {
    const one = await operator(t);
    const { clock, view, sessions } = resolver(t, [one.port]);
    const session = await one.next();
    await until(() => sessions.connected === 1);
    await session.take("routes");
    const told = async (...listening: number[]) => {
      view.listening = listening;
      view.portsMoved();
      await clock.advance(20);
    };
    view.owner = "api";
    await told(10_000);
    assert.deepEqual((await session.take("routes")).routes, [served(10_000, "api")]);
    await session.take("ports");
    await told();
    assert.deepEqual((await session.take("ports")).ports, []);
    await told();
    // an operator forgets what a closed port led to
    await told(10_000);
    assert.deepEqual((await session.take("ports")).ports, [10_000]);
    assert.deepEqual(
      session.lines.filter(({ type }) => type !== "hello"),
      [{ type: "routes", routes: [served(10_000, "api")] }],
    );
  });

  it("tells all of very many routes before its hello, and that there are none", async (t) => {
    const one = await operator(t);
    const { view } = resolver(t, [one.port]);
    view.listening = Array.from({ length: 20_000 }, (_, at) => 10_000 + at);
    const longest = "s".repeat(63);
    view.owner = longest;
    const session = await one.next();
    const { ports } = await session.take("hello");
    const routes = session.lines.flatMap((line) => (line.type === "routes" ? line.routes : []));
    assert.deepEqual(
      routes.map(({ resolverPort }) => resolverPort),
      ports,
    );
    assert.equal(routes.length, 20_000);
    const two = await operator(t);
    const { view: empty } = resolver(t, [two.port]);
    empty.listening = [];
    const other = await two.next();
    await other.take("hello");
    assert.deepEqual(other.lines, [{ type: "routes", routes: [] }]);
  });

  it("answers a seal with what the resolver says", async (t) => {
    const one = await operator(t);
    const { view } = resolver(t, [one.port]);
    const session = await one.next();
    const seal = { type: "seal", namespace: "default", service: "web", epoch: 8, drainEpoch: 7 } as const;
    session.send(seal);
    assert.deepEqual(await session.take("sealed"), {
      type: "sealed",
      namespace: "default",
      service: "web",
      epoch: 8,
      ok: true,
    });
    view.answer = { ok: false, reason: "in-flight" };
    session.send(seal);
    assert.equal((await session.take("sealed")).reason, "in-flight");
    assert.deepEqual(view.seals, [
      ["default", "web", 8, 7],
      ["default", "web", 8, 7],
    ]);
  });

  it("dials a proof one connection after another from its own address and sends nothing", async (t) => {
    const seen: { address: string | undefined; port: number | undefined; bytes: number }[] = [];
    let open = 0;
    const server = createTcpServer((socket: Socket) => {
      open += 1;
      const entry = { address: socket.remoteAddress, port: socket.remotePort, bytes: 0 };
      seen.push(entry);
      socket.on("data", (chunk) => {
        entry.bytes += chunk.length;
      });
      socket
        .on("error", () => {})
        .on("close", () => {
          open -= 1;
        });
    });
    t.after(() => server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const one = await operator(t);
    const { clock } = resolver(t, [one.port]);
    const session = await one.next();
    const at = { namespace: "default", service: "web", proof: "p1", address: "127.0.0.1", port: portOf(server) };
    session.send({ type: "prove", ...at, openMs: [5, 60, 20] });
    let dialled: Extract<SessionUp, { type: "dialled" }> | undefined;
    void session.take("dialled").then((line) => {
      dialled = line;
    });
    // in steps of a millisecond: time stands still while a connection is being opened
    while (dialled === undefined) await clock.advance(open === 0 ? 0 : 1);
    assert.equal(dialled.error, undefined);
    assert.deepEqual(
      dialled.dials.map(({ address, port }) => ({ address, port, bytes: 0 })),
      seen,
    );
    assert.ok(seen.every(({ address }) => address === "127.0.0.7"));
    for (const [i, ms] of [5, 60, 20].entries()) {
      const openMs: number = dialled.dials[i]!.openMs;
      assert.ok(openMs >= ms && openMs < ms + 2_000, `${openMs}`);
    }
    session.send({ type: "prove", ...at, port: (await deadPod()).port, openMs: [5] });
    const failed = await session.take("dialled");
    assert.deepEqual(failed.dials, []);
    assert.match(failed.error!, /ECONNREFUSED/);
  });

  it("comes back with growing delays when it is refused or cut", async (t) => {
    let refusing = true;
    let refused = 0;
    const one = await operator(t, {
      refuse: () => {
        if (refusing) refused += 1;
        return refusing;
      },
    });
    const { clock } = resolver(t, [one.port]);
    for (const [count, delay] of [
      [1, 250],
      [2, 500],
      [3, 1_000],
    ] as const) {
      await until(() => refused === count);
      // its timer is armed once the answer is in
      const due = clock.now() + delay;
      if (count === 3) refusing = false;
      while (refused === count && one.sessions.length === 0 && clock.now() < due + 50) await clock.advance(10);
      assert.ok(clock.now() >= due - 10);
    }
    const session = await one.next();
    await session.take("hello");
    (session.socket as Socket).resetAndDestroy();
    const back = one.next();
    let again: OperatorEnd | undefined;
    void back.then((value) => {
      again = value;
    });
    while (again === undefined) await clock.advance(100);
    await again.take("hello");
  });

  it("pings when it has nothing to say and gives up a replica that is silent", async (t) => {
    const one = await operator(t);
    const { clock, sessions } = resolver(t, [one.port]);
    const session = await one.next();
    await until(() => sessions.connected === 1);
    await clock.advance(SESSION_PING_MS);
    await session.take("ping");
    await clock.advance(SESSION_PING_MS);
    await session.take("ping");
    assert.equal(sessions.connected, 1);
    await clock.advance(SESSION_PING_MS);
    await session.end();
    assert.equal(sessions.connected, 0);
  });

  it("stays while the replica pings", async (t) => {
    const one = await operator(t);
    const { clock, sessions } = resolver(t, [one.port]);
    const session = await one.next();
    await until(() => sessions.connected === 1);
    for (let i = 0; i < 6; i++) {
      session.send({ type: "ping" });
      session.send({ type: "seal", namespace: "n", service: "s", epoch: 2, drainEpoch: 1 });
      await session.take("sealed");
      await clock.advance(SESSION_PING_MS - 1);
    }
    assert.equal(sessions.connected, 1);
  });

  for (const [name, bytes] of [
    ["a line that is too long", "x".repeat(SESSION_LINE_BYTES + 1)],
    ["a line that is no JSON", "nonsense\n"],
    ["a malformed line of a known type", '{"type":"seal","namespace":"n"}\n'],
  ] as const) {
    it(`ends a session over ${name}`, async (t) => {
      const one = await operator(t);
      const { sessions } = resolver(t, [one.port]);
      const session = await one.next();
      session.socket.write(bytes);
      await session.end();
      assert.equal(sessions.connected, 0);
    });
  }

  it("passes over types that it does not know", async (t) => {
    const one = await operator(t);
    resolver(t, [one.port]);
    const session = await one.next();
    session.socket.write('{"type":"from-the-future"}\n{"type":"seal","namespace":"n","ser');
    session.socket.write('vice":"s","epoch":2,"drainEpoch":1}\n');
    await session.take("sealed");
  });

  it("ends with the replica and with the process, and leaves no timer", async (t) => {
    const operators = [await operator(t), await operator(t)];
    const { clock, sessions, remove } = resolver(
      t,
      operators.map(({ port }) => port),
    );
    const [first, second] = await Promise.all(operators.map((one) => one.next()));
    await until(() => sessions.connected === 2);
    remove(operators[0]!.port);
    await first!.end();
    assert.equal(sessions.connected, 1);
    sessions.close();
    await second!.end();
    assert.equal(clock.pendingTimers, 0);
  });
});
