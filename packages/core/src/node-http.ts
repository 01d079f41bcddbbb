/**
 * `node:http`, for whoever needs more of it than types. An ESM import of it reads each of its exports, among them WebSocket,
 * whose getter loads the undici inside Node.js beside our own: 3 MB of memory for nothing.
 */
export const http = process.getBuiltinModule("node:http");
