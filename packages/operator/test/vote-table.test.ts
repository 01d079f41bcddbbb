import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, type ElastiService, KIND } from "@elasti/api";
import { VoteTable } from "../src/policies/vote-table.ts";

const elastiService = (name: string, target: string): ElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { namespace: "shop", name },
  spec: {
    service: name,
    minTargetReplicas: 1,
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: target },
    triggers: [{ type: "traffic" }],
  },
});
const workload = (name: string) => ({ namespace: "shop", name, apiVersion: "apps/v1", kind: "Deployment" });
const vote = (floor: number, idle = false) => ({ floor, idle, awake: Math.max(1, floor), reason: `asks for ${floor}` });

describe("what policies ask of ElastiServices", () => {
  function table() {
    const all = [elastiService("front", "web"), elastiService("api", "api")];
    const votes = new VoteTable({
      ofTarget: (namespace, name) =>
        all.filter(({ metadata, spec }) => metadata.namespace === namespace && spec.scaleTargetRef.name === name),
      all: () => all,
    });
    const told: string[] = [];
    votes.onChange((key) => told.push(key));
    return { votes, told, front: all[0]!, api: all[1]! };
  }

  it("is not known before every policy has had its say, and everybody is told then", () => {
    const { votes, told, front, api } = table();
    votes.vote("a", workload("web"), vote(2));
    assert.deepEqual(told.splice(0), ["shop/front"]);
    const early = votes.of(front);
    assert.match(early.unknown ?? "", /not every scaling policy has been evaluated/);
    assert.deepEqual([early.floor?.replicas, early.awake], [2, 2]);
    assert.notEqual(votes.of(api).unknown, undefined);
    votes.settled(true);
    assert.deepEqual(told.splice(0), ["shop/front", "shop/api"]);
    assert.deepEqual([votes.of(front).unknown, votes.of(api)], [undefined, {}]);
    votes.settled(false);
    assert.deepEqual(told, []);
    assert.notEqual(votes.of(api).unknown, undefined);
  });

  it("is the most that any of them asks for, and zero only where all ask for it", () => {
    const { votes, front } = table();
    votes.settled(true);
    votes.vote("a", workload("web"), vote(0, true));
    assert.deepEqual([votes.of(front).idle, votes.of(front).floor], ["asks for 0", undefined]);
    votes.vote("b", workload("web"), vote(3));
    assert.deepEqual(votes.of(front).floor, { replicas: 3, message: "asks for 3" });
    assert.equal(votes.of(front).idle, undefined);
    votes.vote("b", undefined, undefined);
    assert.equal(votes.of(front).idle, "asks for 0");
  });

  it("is told again only when something else is asked", () => {
    const { votes, told } = table();
    votes.vote("a", workload("web"), vote(2));
    votes.vote("a", workload("web"), { ...vote(2), reason: "asks for 2, still" });
    assert.deepEqual(told.splice(0), ["shop/front"]);
    votes.vote("a", workload("api"), vote(2));
    assert.deepEqual(told, ["shop/front", "shop/api"]);
    assert.deepEqual(votes.policiesOf(elastiService("api", "api")), ["a"]);
  });
});
