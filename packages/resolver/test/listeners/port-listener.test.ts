import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { silentLogger } from "@elasti/core";
import { PortListeners } from "../../src/listeners/port-listener.ts";
import { freePort } from "../support/world.ts";

function make(bindAddress: string) {
  const seen: number[] = [];
  let changes = 0;
  const listeners = new PortListeners({
    logger: silentLogger,
    bindAddress,
    onConnection: (socket, port) => {
      seen.push(port);
      socket.destroy();
    },
    onListening: () => {
      changes += 1;
    },
  });
  return { listeners, seen, changes: () => changes };
}

const dial = async (port: number, host = "127.0.0.1"): Promise<boolean> => {
  const socket = connect(port, host);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
};

test("opens what is wanted and closes what is not any more", async () => {
  const { listeners, changes } = make("127.0.0.1");
  const [a, b] = [await freePort(), await freePort()];
  await listeners.update([a, b]);
  assert.deepEqual([...listeners.listening].sort(), [a, b].sort());
  assert.equal(await dial(a), true);
  await listeners.update([b]);
  assert.deepEqual(listeners.listening, [b]);
  assert.equal(await dial(a), false);
  assert.equal(changes(), 3);
  listeners.close();
  await listeners.closed();
  assert.equal(await dial(b), false);
});

test("`::` takes IPv4 as well", async () => {
  const { listeners } = make("::");
  const port = await freePort();
  await listeners.update([port]);
  assert.equal(await dial(port), true);
  listeners.close();
  await listeners.closed();
});

test("a port that is taken is reported, and opened at a later change", async () => {
  const { listeners } = make("127.0.0.1");
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  assert.ok(typeof address === "object" && address !== null);
  await listeners.update([address.port]);
  assert.deepEqual(listeners.counts, { open: 0, failed: 1 });
  other.close();
  await once(other, "close");
  await listeners.update([address.port]);
  assert.deepEqual(listeners.counts, { open: 1, failed: 0 });
  listeners.close();
  await listeners.closed();
});
