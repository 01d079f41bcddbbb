import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HoldQueue, queueNode } from "../../src/gate/hold-queue.ts";

test("behaves as a list sorted by arrival, whatever is pushed, taken, removed or restored", () => {
  const step = fc.record({ do: fc.constantFrom("push", "shift", "remove", "restore"), at: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const queue = new HoldQueue<number>();
      let seq = 0;
      let model: ReturnType<typeof queueNode<number>>[] = [];
      const out: ReturnType<typeof queueNode<number>>[] = [];
      for (const entry of steps) {
        if (entry.do === "push") {
          const node = queueNode(seq, seq++);
          queue.push(node);
          model.push(node);
        } else if (entry.do === "shift") {
          const node = queue.head;
          assert.equal(node, model.shift());
          if (node === undefined) continue;
          queue.remove(node);
          out.push(node);
        } else if (entry.do === "remove" && model.length > 0) {
          const [node] = model.splice(entry.at % model.length, 1);
          assert.equal(queue.remove(node!), true);
          assert.equal(queue.remove(node!), false);
          out.push(node!);
        } else if (entry.do === "restore" && out.length > 0) {
          const [node] = out.splice(entry.at % out.length, 1);
          queue.restore(node!);
          model = [...model, node!].sort((a, b) => a.seq - b.seq);
        }
        assert.equal(queue.length, model.length);
        assert.equal(queue.head, model[0]);
      }
    }),
    { numRuns: 300 },
  );
});

test("a node is in one queue at a time", () => {
  const queue = new HoldQueue<string>();
  const node = queueNode("a", 1);
  queue.push(node);
  assert.throws(() => queue.push(node));
});

test("takes 200,000 through without getting slower", () => {
  const queue = new HoldQueue<number>();
  const start = performance.now();
  for (let i = 0; i < 200_000; i++) queue.push(queueNode(i, i));
  for (let i = 0; i < 200_000; i++) {
    const { head } = queue;
    assert.equal(head?.value, i);
    queue.remove(head!);
  }
  assert.ok(performance.now() - start < 3_000);
});
