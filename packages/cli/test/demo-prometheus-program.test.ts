import assert from "node:assert/strict";
import { test } from "node:test";
import { type ProgramSearch, prometheusProgram } from "../src/demo/prometheus-program.ts";

/** A machine with apt-get on which an installation works from the given attempt on. */
function machine(options: Partial<ProgramSearch> & { present?: readonly string[]; worksAt?: number } = {}) {
  const { present = ["apt-get"], worksAt = 1, ...rest } = options;
  const programs = new Set(present);
  const ran: string[] = [];
  let attempts = 0;
  const search: ProgramSearch = {
    find: (name) => (programs.has(name) ? `/usr/bin/${name}` : undefined),
    noInstall: false,
    root: true,
    ask: undefined,
    run: async (program, args) => {
      ran.push([program, args[0]].join(" "));
      if (args[0] !== "install") return true;
      attempts += 1;
      if (attempts < worksAt) return false;
      programs.add("prometheus");
      return true;
    },
    say: () => {},
    ...rest,
  };
  return { search, ran };
}

test("takes the Prometheus that is there, and installs nothing", async () => {
  const { search, ran } = machine({ present: ["apt-get", "prometheus"] });
  assert.equal(await prometheusProgram(search), "/usr/bin/prometheus");
  assert.deepEqual(ran, []);
});

test("without a terminal it is installed unasked, with a new package index only where the old one does not do", async () => {
  const first = machine();
  assert.equal(await prometheusProgram(first.search), "/usr/bin/prometheus");
  assert.deepEqual(first.ran, ["/usr/bin/apt-get install"]);
  const second = machine({ worksAt: 2 });
  assert.equal(await prometheusProgram(second.search), "/usr/bin/prometheus");
  assert.deepEqual(second.ran, ["/usr/bin/apt-get install", "/usr/bin/apt-get update", "/usr/bin/apt-get install"]);
});

test("at a terminal it asks first", async () => {
  const yes = machine({ ask: async () => true });
  assert.equal(await prometheusProgram(yes.search), "/usr/bin/prometheus");
  const no = machine({ ask: async () => false });
  assert.equal(await prometheusProgram(no.search), undefined);
  assert.deepEqual(no.ran, []);
});

test("installs nothing when told not to, without root, or without apt-get", async () => {
  for (const options of [{ noInstall: true }, { root: false }, { present: [] }]) {
    const { search, ran } = machine({ ...options, ask: async () => assert.fail("asked") });
    assert.equal(await prometheusProgram(search), undefined);
    assert.deepEqual(ran, []);
  }
});

test("does without where the installation fails", async () => {
  const { search } = machine({ worksAt: 9 });
  assert.equal(await prometheusProgram(search), undefined);
});
