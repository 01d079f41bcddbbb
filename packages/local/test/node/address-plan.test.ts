import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPlan, nodeOfAddress } from "../../src/node/address-plan.ts";

test("two clusters at once get ranges that share nothing", async () => {
  const one = await AddressPlan.claim();
  const two = await AddressPlan.claim();
  assert.notEqual(one.serviceCidr, two.serviceCidr);
  assert.notEqual(one.nodeAddress(1), two.nodeAddress(1));
  assert.notEqual(one.nextPodAddress(1), two.nextPodAddress(1));
  await Promise.all([one.close(), two.close()]);
});

test("pod addresses are given out in turn, and come round inside the slot", () => {
  const plan = new AddressPlan(3);
  const first = plan.nextPodAddress(2);
  assert.equal(first, "127.22.48.2");
  const seen = new Set([first]);
  let next = plan.nextPodAddress(2);
  while (next !== first) {
    assert.ok(!seen.has(next) && next !== plan.nodeAddress(2));
    seen.add(next);
    next = plan.nextPodAddress(2);
  }
  assert.equal(seen.size, 4_093);
  assert.ok([...seen].every((address) => /^127\.22\.(4[89]|5\d|6[0-3])\./.test(address)));
});

test("an address tells the node", () => {
  const plan = new AddressPlan(5);
  assert.equal(nodeOfAddress(plan.nextPodAddress(7)), 7);
  assert.equal(nodeOfAddress(plan.nodeAddress(2)), 2);
  assert.equal(nodeOfAddress(plan.clientAddress(3, 300)), 3);
  for (const other of ["127.0.0.1", "10.0.0.1", undefined]) assert.equal(nodeOfAddress(other), 1);
});
