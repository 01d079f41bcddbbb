import assert from "node:assert/strict";
import { test } from "node:test";
import { routesOf } from "../../src/services/routes.ts";
import { service, slice } from "./fixtures.ts";

const ips = (routes: ReturnType<typeof routesOf>) =>
  routes.map(({ backends }) => backends.map(({ ip, port }) => `${ip}:${port}`));

test("uses the ready endpoints of all slices of a Service, whoever made them, each address once", () => {
  const routes = routesOf(service("web", "10.0.0.1"), [
    slice("web", ["10.1.0.1", { addresses: ["10.1.0.2"], conditions: { ready: false } }]),
    slice("web", ["10.1.0.1", "10.1.0.9"], [{ name: "", port: 8080, protocol: "TCP" }], "b"),
  ]);
  assert.deepEqual(ips(routes), [["10.1.0.1:8080", "10.1.0.9:8080"]]);
});

test("uses endpoints that terminate but still serve only when nothing is ready", () => {
  const last = { addresses: ["10.1.0.1"], conditions: { ready: false, serving: true, terminating: true } };
  const gone = { addresses: ["10.1.0.2"], conditions: { ready: false, serving: false, terminating: true } };
  assert.deepEqual(ips(routesOf(service("web", "10.0.0.1"), [slice("web", [last, gone])])), [["10.1.0.1:8080"]]);
  assert.deepEqual(ips(routesOf(service("web", "10.0.0.1"), [slice("web", [last, gone, "10.1.0.3"])])), [
    ["10.1.0.3:8080"],
  ]);
});

test("matches ports by name, and takes the port number of each slice", () => {
  const web = service("web", "10.0.0.1", [
    { name: "http", port: 80 },
    { name: "admin", port: 81 },
    { name: "dns", port: 53, protocol: "UDP" },
  ]);
  const routes = routesOf(web, [
    slice("web", ["10.1.0.1"], [{ name: "http", port: 8080, protocol: "TCP" }]),
    slice("web", ["10.1.0.2"], [{ name: "http", port: 9090, protocol: "TCP" }], "b"),
  ]);
  assert.deepEqual(
    routes.map(({ port }) => port),
    [80, 81],
  );
  assert.deepEqual(ips(routes), [["10.1.0.1:8080", "10.1.0.2:9090"], []]);
});

test("headless and ExternalName Services have no routes", () => {
  assert.deepEqual(routesOf(service("web", "None"), [slice("web", ["10.1.0.1"])]), []);
  const external = service("web", "");
  assert.deepEqual(routesOf({ ...external, spec: { type: "ExternalName", externalName: "example.com" } }, []), []);
});
