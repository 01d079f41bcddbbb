import assert from "node:assert/strict";
import { test } from "node:test";
import { type Stage, Timeline } from "../src/demo/timeline.ts";

function told(play: (say: (stage: Stage, at: number, detail?: string) => void, timeline: Timeline) => void): string[] {
  const lines: string[] = [];
  const timeline = new Timeline((line) => lines.push(line));
  play((stage, at, detail = "") => timeline.take({ stage, at, detail }), timeline);
  return lines.filter((line) => line !== "").map((line) => line.replaceAll(/ +/g, " ").trim());
}

test("tells a cycle in two blocks, with the time since the block began and since the line before", () => {
  const lines = told((say, timeline) => {
    say("held", 1_000, "GET /");
    say("scaled", 1_006);
    say("started", 1_020);
    say("notified", 1_010, "confirmed");
    say("answered", 2_500);
    timeline.count(false);
    say("swapped", 2_600);
    timeline.count(true);
    say("idle", 9_000);
    say("zero", 11_300);
    say("gone", 11_310);
    say("unparked", 11_312);
  });
  assert.deepEqual(lines, [
    "cycle 1: a request wakes the service",
    "0 ms held GET /",
    "6 ms +6 ms scaled",
    "20 ms +14 ms started",
    "10 ms notified confirmed",
    "1.50 s +1.48 s answered",
    "1.60 s +100 ms swapped",
    "cycle 1: the service falls asleep, after 2 requests, 1 of them with no resolver in between",
    "0 ms idle",
    "2.30 s +2.30 s zero",
    "2.31 s +10 ms gone",
    "2.31 s +2 ms unparked",
  ]);
});

test("of several moments of one stage the first counts", () => {
  const lines = told((say) => {
    say("held", 0, "first");
    say("held", 5, "second");
    say("direct", 9, "first");
    say("direct", 10, "second");
  });
  assert.deepEqual(lines.slice(1), ["0 ms held first", "9 ms +9 ms direct first"]);
});

test("a wake that comes before the last pods have left begins a cycle, one that comes earlier undoes the sleep", () => {
  const overtaken = told((say) => {
    say("held", 0);
    say("idle", 10);
    say("zero", 20);
    say("held", 25);
    say("gone", 30);
    say("answered", 40);
  });
  assert.deepEqual(overtaken.slice(-3), ["cycle 2: a request wakes the service", "0 ms held", "15 ms +15 ms answered"]);
  const undone = told((say) => {
    say("held", 0);
    say("idle", 10);
    say("held", 15);
    say("undone", 18, "a request came");
    say("idle", 30);
  });
  assert.deepEqual(undone.slice(-4), [
    "5 ms +5 ms held",
    "8 ms +3 ms undone a request came",
    "cycle 1: the service falls asleep",
    "0 ms idle",
  ]);
});

test("a service that begins asleep says nothing before its first wake", () => {
  assert.deepEqual(
    told((say) => {
      say("gone", 5);
      say("ready", 6);
      say("unparked", 7);
    }),
    [],
  );
});
