import assert from "node:assert/strict";
import { it } from "node:test";
import { silentLogger } from "@elasti/core";
import { Roster } from "../../src/engine/roster.ts";
import { Timetable } from "../../src/engine/timetable.ts";
import { openStore, type Policy } from "../../src/index.ts";
import { draft } from "../store/drafts.ts";

it("reads only the policies that have changed, and keeps the others as they are", async () => {
  const { policies, close } = await openStore({ file: ":memory:", logger: silentLogger }).then((store) => ({
    policies: store.policies,
    close: () => store.close(),
  }));
  const read: string[][] = [];
  const repository = {
    revision: () => policies.revision(),
    enabledVersions: () => policies.enabledVersions(),
    enabled: async (ids?: readonly string[]): Promise<readonly Policy[]> => {
      const found = await policies.enabled(ids);
      read.push(found.map(({ name }) => name));
      return found;
    },
  };
  const gone: string[] = [];
  const timetable = new Timetable({ intervalMs: 30_000, slots: 30, phaseMs: 0, nowMs: 0 });
  const roster = new Roster(repository, timetable, (id) => gone.push(id));
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => policies.create(draft({ name }))));
  assert.equal(await roster.refresh(), true);
  assert.equal(await roster.refresh(), false);
  const before = [a!, b!, c!].map(({ id }) => roster.get(id));
  const changed = await policies.replace({ ...b!, max_replicas: 7 });
  await policies.replace({ ...c!, enabled: false });
  const d = await policies.create(draft({ name: "d" }));
  assert.equal(await roster.refresh(), true);
  assert.deepEqual(read, [
    ["a", "b", "c"],
    ["b", "d"],
  ]);
  assert.equal(roster.get(a!.id), before[0]);
  assert.deepEqual(roster.get(b!.id), changed);
  assert.deepEqual(roster.get(d.id), d);
  assert.deepEqual([...roster.ids()].sort(), [a!.id, b!.id, d.id].sort());
  assert.deepEqual(gone, [c!.id]);
  await policies.delete(a!.id);
  assert.equal(await roster.refresh(), true);
  assert.equal(read.length, 2);
  assert.deepEqual(gone, [c!.id, a!.id]);
  await close();
});
