import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createLogger, silentLogger } from "@elasti/core";
import { HistoryBuffer } from "../../src/engine/history-buffer.ts";
import { policyErrors } from "../../src/errors.ts";
import type { HistoryEntry } from "../../src/index.ts";

const entry = (reason: string, kind: HistoryEntry["kind"] = "action") => ({ reason, kind }) as HistoryEntry;

/** What a database has taken; `answer` may throw for it. */
function database(answer: (reasons: readonly string[]) => void) {
  const taken: string[] = [];
  return {
    taken,
    append: async (entries: readonly HistoryEntry[]) => {
      const reasons = entries.map(({ reason }) => reason);
      answer(reasons);
      taken.push(...reasons);
    },
  };
}

suite("history that is not written yet", () => {
  test("is written in its order", async () => {
    const { taken, append } = database(() => {});
    const buffer = new HistoryBuffer({ append }, silentLogger);
    buffer.add(...Array.from({ length: 1_200 }, (_, index) => entry(String(index))));
    await buffer.flush();
    assert.deepEqual(
      taken,
      Array.from({ length: 1_200 }, (_, index) => String(index)),
    );
    assert.deepEqual([buffer.waiting, buffer.dropped], [0, 0]);
  });

  test("stays while the database is away, and whoever asked is told why", async () => {
    let away = true;
    const { taken, append } = database(() => {
      if (away) throw policyErrors.ELASTI_POLICY_DATABASE("it is away");
    });
    const buffer = new HistoryBuffer({ append }, silentLogger);
    buffer.add(entry("a"), entry("b"));
    await assert.rejects(buffer.flush(), /it is away/);
    assert.equal(buffer.waiting, 2);
    away = false;
    await buffer.flush();
    assert.deepEqual([taken, buffer.waiting, buffer.dropped], [["a", "b"], 0, 0]);
  });

  for (const [what, error] of [
    ["refused by the database", policyErrors.ELASTI_POLICY_INVALID("out of range")],
    ["impossible to encode", new RangeError("Invalid time value")],
  ] as const) {
    test(`is given up alone, and told, where it is ${what}`, async () => {
      const { taken, append } = database((reasons) => {
        if (reasons.includes("bad")) throw error;
      });
      const told: unknown[] = [];
      const logger = createLogger({ name: "test" }, { write: (line: string) => void told.push(JSON.parse(line)) });
      const buffer = new HistoryBuffer({ append }, logger);
      buffer.add(entry("a"), entry("bad"), entry("b"));
      await buffer.flush();
      buffer.add(entry("c"));
      await buffer.flush();
      assert.deepEqual([taken, buffer.waiting, buffer.dropped], [["a", "b", "c"], 0, 1]);
      assert.partialDeepStrictEqual(told, [{ entry: { reason: "bad" }, reason: "history-refused" }]);
    });
  }

  test("has a bound: the oldest decisions go first, and actions last", async () => {
    const { taken, append } = database(() => {});
    const buffer = new HistoryBuffer({ append }, silentLogger, 3);
    buffer.add(entry("1"), entry("2", "decision"), entry("3", "decision"), entry("4"), entry("5"), entry("6"));
    await buffer.flush();
    assert.deepEqual([taken, buffer.dropped], [["4", "5", "6"], 3]);
  });
});
