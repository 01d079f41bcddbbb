import { connect } from "node:http2";
import type { Socket } from "node:net";

/** grpc.health.v1.HealthCheckRequest, with the five bytes that frame every gRPC message. */
export function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const length: number[] = [];
  for (let rest = name.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  return Buffer.concat([frame, message]);
}

/** Whether the first message of `data` is a HealthCheckResponse with status SERVING. */
export function isServing(data: Buffer): boolean {
  if (data.length < 5 || data[0] !== 0) return false;
  const message = data.subarray(5, 5 + data.readUInt32BE(1));
  // field 1, a varint: SERVING is 1. Fields that are unknown here come after it.
  return message[0] === 0x08 && message[1] === 1;
}

/** Asks the health service on a connection that is open. `done` is called once; the caller destroys the socket. */
export function checkGrpc(socket: Socket, service: string, authority: string, done: (ok: boolean) => void): void {
  const session = connect(`http://${authority}`, { createConnection: () => socket });
  let over = false;
  const end = (ok: boolean) => {
    if (over) return;
    over = true;
    session.destroy();
    done(ok);
  };
  session.on("error", () => end(false)).on("close", () => end(false));
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "kube-probe/1.33 (elasti)",
  });
  let answer = Buffer.alloc(0);
  let status: string | undefined;
  stream.on("error", () => end(false));
  stream.on("response", (headers) => {
    if (headers[":status"] !== 200) end(false);
    if (headers["grpc-status"] !== undefined) status = String(headers["grpc-status"]);
  });
  stream.on("trailers", (trailers) => {
    status = String(trailers["grpc-status"]);
  });
  stream.on("data", (chunk: Buffer) => {
    if (answer.length < 1_024) answer = Buffer.concat([answer, chunk]);
  });
  stream.on("end", () => end(status === "0" && isServing(answer)));
  stream.end(healthRequest(service));
}
