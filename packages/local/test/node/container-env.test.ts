import assert from "node:assert/strict";
import { test } from "node:test";
import { containerArgv, containerEnv, expand } from "../../src/node/container-env.ts";

const place = { podIP: "127.21.0.2", hostIP: "127.21.0.1", nodeName: "node-1" };
const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-1", namespace: "default", uid: "u", labels: { app: "web" } },
  spec: { containers: [] },
};

test("expands references as Kubernetes does", () => {
  const env = { A: "1", B: "2" };
  assert.equal(expand("$(A)-$(B)-$(C)", env), "1-2-$(C)");
  assert.equal(expand("$$(A) $A $", env), "$(A) $A $");
  assert.deepEqual(containerArgv({ name: "x", command: ["run"], args: ["--a=$(A)"] }, env), ["run", "--a=1"]);
});

test("takes fields of the pod, and only what was declared before", () => {
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const env = containerEnv(
    pod,
    {
      name: "x",
      env: [
        { name: "EARLY", value: "$(NAME)" },
        field("NAME", "metadata.name"),
        field("APP", "metadata.labels['app']"),
        field("HOST", "status.hostIP"),
        { name: "LATE", value: "$(NAME)@$(POD_IP)" },
      ],
    },
    place,
    { PATH: "/bin" },
  );
  assert.deepEqual(env, {
    PATH: "/bin",
    HOSTNAME: "web-1",
    POD_IP: "127.21.0.2",
    EARLY: "$(NAME)",
    NAME: "web-1",
    APP: "web",
    HOST: "127.21.0.1",
    LATE: "web-1@127.21.0.2",
  });
});
