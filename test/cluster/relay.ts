/**
 * `node relay.ts <address> <port>`: connects whoever asks for it to where they say. The first line of a connection is
 * `host:port`; what follows goes there, from the node that the relay runs on, and its answer comes back. Each end's close is
 * the other's too, and an end that fails resets the other, so that a client sees what happens as if there were no relay.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** Longer than any `host:port`. */
const MAX_LINE_BYTES = 300;

function onConnection(client: Socket): void {
  let head: Buffer = Buffer.alloc(0);
  client.setNoDelay(true);
  client.on("error", () => client.destroy());
  const read = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\n");
    if (end < 0 && head.length <= MAX_LINE_BYTES) return;
    client.off("data", read);
    const line = /^(.+):(\d+)$/.exec(head.toString("latin1", 0, Math.max(end, 0)));
    if (line === null) return void client.resetAndDestroy();
    client.pause();
    join(client, { host: line[1] ?? "", port: Number(line[2]) }, head.subarray(end + 1));
  };
  client.on("data", read);
}

function join(client: Socket, to: { host: string; port: number }, first: Buffer): void {
  const server = connect({ ...to, noDelay: true, allowHalfOpen: true });
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on("error", () => other.resetAndDestroy());
    one.on("close", () => other.destroySoon());
  }
  if (first.length > 0) server.write(first);
  client.pipe(server);
  server.pipe(client);
}

/** @param port 0 for any that is free */
export function serveRelay(port: number, host: string): Server {
  return createServer({ allowHalfOpen: true }, onConnection).listen(port, host);
}

if (import.meta.main) {
  const [host = "", port = ""] = process.argv.slice(2);
  serveRelay(Number(port), host);
}
