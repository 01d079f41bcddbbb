import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "@elasti/kube";
import { defaultPatience, type Evidence } from "../../src/failures/evidence.ts";
import { type Judgement, judge } from "../../src/failures/judge.ts";
import { PodHistory, trimPod } from "../../src/failures/pod-history.ts";
import { podsSince } from "../../src/failures/wake-monitor.ts";
import { container, ended, pod, unscheduled, waiting } from "./kit.ts";

const now = Date.UTC(2026, 0, 1, 12);

/** The evidence of pods that were seen in these states, one after the other; the last one of each is judged at `now`. */
function evidenceOf(seen: readonly Pod[], created?: Evidence["createFailure"], replicas = 0): Evidence {
  const history = new PodHistory();
  for (const one of seen) history.see(trimPod(one), now);
  const newest = new Map(seen.map((one) => [one.metadata.uid, one]));
  const pods = [...newest.values()].map((one) => history.evidenceOf(trimPod(one), now));
  return { pods, createFailure: created, replicas };
}

const verdict = (judged: Judgement | undefined): string =>
  judged === undefined
    ? "well"
    : `${judged.reason} ${judged.certain ? "certain" : judged.progress ? "progress" : "uncertain"}`;

// as containerd, CRI-O and cri-dockerd write them, through the kubelet
const notFound = {
  containerd:
    'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/web:9": failed to resolve reference "docker.io/library/web:9": docker.io/library/web:9: not found',
  "CRI-O":
    "rpc error: code = Unknown desc = initializing source docker://quay.io/team/web:9: reading manifest 9 in quay.io/team/web: manifest unknown",
  "CRI-O, no such repository":
    "rpc error: code = Unknown desc = initializing source docker://ghcr.io/team/web:9: reading manifest 9 in ghcr.io/team/web: name unknown: repository name not known to registry",
  "cri-dockerd":
    "rpc error: code = Unknown desc = Error response from daemon: manifest for web:9 not found: manifest unknown: manifest unknown",
};
const denied =
  'rpc error: code = Unknown desc = failed to pull and unpack image "docker.io/team/web:9": failed to resolve reference "docker.io/team/web:9": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed';
const noHost =
  'rpc error: code = Unknown desc = failed to pull and unpack image "registry.test/web:9": failed to resolve reference "registry.test/web:9": failed to do request: Head "https://registry.test/v2/web/manifests/9": dial tcp: lookup registry.test: no such host';
const backOff = (message: string) => `Back-off pulling image "web:9": ErrImagePull: ${message}`;
const noRoom =
  "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.";
const noWebhook =
  'Internal error occurred: failed calling webhook "v.test": failed to call webhook: Post "https://v.test.svc:443/": dial tcp 10.0.0.9:443: connect: connection refused';

/** Repeats what a failing pull looks like. @param between what the kubelet says while it waits for the next one */
const pulls = (message: string, count: number, between = backOff(message)): Pod[] => {
  const first = pod({ containers: [waiting("ContainerCreating")] });
  const states = Array.from({ length: count }, () => [
    waiting("ErrImagePull", message),
    waiting("ImagePullBackOff", between),
  ]).flat();
  return [
    first,
    ...states.map((state): Pod => ({ ...first, status: { ...first.status, containerStatuses: [state] } })),
  ];
};

/** A container whose run number `exits` has ended. @param agoMs since when it is as it is */
function crashed(exits: number, state: "terminated" | "back-off" | "running", ranMs = 1_000, agoMs = 0): Pod {
  const last = { terminated: ended(1, now - agoMs, ranMs) };
  const status = {
    terminated: container(last, { restartCount: exits - 1 }),
    "back-off": waiting("CrashLoopBackOff", "back-off 20s restarting failed container=app pod=web-1", {
      restartCount: exits - 1,
      lastState: last,
    }),
    running: container(
      { running: { startedAt: new Date(now - agoMs).toISOString() } },
      { restartCount: exits, lastState: last },
    ),
  };
  return pod({ phase: "Running", containers: [status[state]] });
}

type Row = readonly [what: string, evidence: Evidence, expected: string];

const images: readonly Row[] = [
  ...Object.entries(notFound).flatMap(([who, message]): Row[] => [
    [`not found (${who})`, evidenceOf(pulls(message, 1).slice(0, 2)), "ImageNotFound certain"],
    [`not found, in back-off (${who})`, evidenceOf(pulls(message, 1)), "ImageNotFound certain"],
  ]),
  [
    "never pulled and not there",
    evidenceOf([
      pod({
        containers: [waiting("ErrImageNeverPull", 'Container image "web:9" is not present with pull policy of Never')],
      }),
    ]),
    "ImageNotFound certain",
  ],
  [
    "with a name that is none",
    evidenceOf([
      pod({
        containers: [
          waiting(
            "InvalidImageName",
            'Failed to apply default image tag "web:::": couldn\'t parse image name "web:::": invalid reference format',
          ),
        ],
      }),
    ]),
    "ImageNotFound certain",
  ],
  [
    "of an init container, not found",
    evidenceOf([
      pod({ init: [waiting("ErrImagePull", notFound.containerd)], containers: [waiting("PodInitializing")] }),
    ]),
    "ImageNotFound certain",
  ],
  ["access denied, once", evidenceOf(pulls(denied, 1)), "ImagePullFailed uncertain"],
  ["access denied, twice", evidenceOf(pulls(denied, 2)), "ImagePullFailed uncertain"],
  ["access denied, the third time", evidenceOf(pulls(denied, 3)), "ImagePullFailed certain"],
  ["registry not to be found, the third time", evidenceOf(pulls(noHost, 3)), "ImagePullFailed certain"],
  [
    "not found, by a kubelet that does not repeat it while it waits",
    evidenceOf(pulls(notFound.containerd, 1, 'Back-off pulling image "web:9"')),
    "ImageNotFound certain",
  ],
  ["in back-off when first seen", evidenceOf([pulls(noHost, 1)[2]!]), "ImagePullFailed uncertain"],
];

const exits: readonly Row[] = [
  ["first", evidenceOf([crashed(1, "terminated")]), "CrashLoop uncertain"],
  ["first, and running again", evidenceOf([crashed(1, "running", 1_000, 3_000)]), "CrashLoop uncertain"],
  ["second", evidenceOf([crashed(2, "back-off")]), "CrashLoop uncertain"],
  ["third", evidenceOf([crashed(3, "back-off")]), "CrashLoop certain"],
  ["third, before the back-off", evidenceOf([crashed(3, "terminated")]), "CrashLoop certain"],
  ["third, and started a fourth time", evidenceOf([crashed(3, "running", 1_000, 3_000)]), "CrashLoop certain"],
  ["third, and past what it died of", evidenceOf([crashed(3, "running", 1_000, 11_000)]), "NotReady progress"],
  ["third, and not past it yet", evidenceOf([crashed(3, "running", 60_000, 100_000)]), "CrashLoop certain"],
  ["ninth, after a long good run", evidenceOf([crashed(9, "terminated", 900_000)]), "CrashLoop uncertain"],
  [
    "third, of an init container",
    evidenceOf([
      pod({
        init: [waiting("CrashLoopBackOff", "back-off", { restartCount: 2, lastState: { terminated: ended(2, now) } })],
        containers: [waiting("PodInitializing")],
      }),
    ]),
    "CrashLoop certain",
  ],
  [
    "of an init container that has done its work",
    evidenceOf([pod({ init: [container({ terminated: ended(0, now) })], containers: [waiting("PodInitializing")] })]),
    "ContainerStarting progress",
  ],
  [
    "of a sidecar that is ready now",
    evidenceOf([
      pod({
        phase: "Running",
        containers: [
          container({ running: {} }, { name: "proxy", ready: true, restartCount: 5 }),
          container({ running: {} }),
        ],
      }),
    ]),
    "NotReady progress",
  ],
  [
    "of three pods that are not restarted but replaced",
    evidenceOf(
      ["a", "b", "c"].map((name) =>
        pod({ name, phase: "Failed", containers: [container({ terminated: ended(1, now) })] }),
      ),
    ),
    "CrashLoop certain",
  ],
];

const scheduling: readonly Row[] = [
  ["no node for 40 s", evidenceOf([pod({ conditions: unscheduled(noRoom, now - 40_000) })]), "Unschedulable uncertain"],
  ["no node for 300 s", evidenceOf([pod({ conditions: unscheduled(noRoom, now - 300_000) })]), "Unschedulable certain"],
  [
    "others are evicted for it",
    evidenceOf([pod({ conditions: unscheduled(noRoom, now - 900_000), nominated: "node-1" })]),
    "Unschedulable uncertain",
  ],
  [
    "behind a gate",
    evidenceOf([
      pod({ conditions: unscheduled("Scheduling is blocked due to non-empty", now - 900_000, "SchedulingGated") }),
    ]),
    "Scheduling progress",
  ],
  ["not looked at yet", evidenceOf([pod({})]), "Scheduling progress"],
];

const creation: readonly Row[] = (
  [
    [
      "a quota",
      'pods "web-7d4b9c-x2x7k" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4',
      0,
      "QuotaExceeded certain",
    ],
    [
      "a quota that asks for limits",
      'pods "web-7d4b9c-x2x7k" is forbidden: failed quota: compute: must specify limits.cpu for: app; limits.memory for: app',
      0,
      "QuotaExceeded certain",
    ],
    [
      "a quota, as a StatefulSet's Event has it",
      'Create Pod web-0 in StatefulSet web failed error: pods "web-0" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=0, limited: pods=0',
      0,
      "QuotaExceeded certain",
    ],
    [
      "a quota whose use is not known yet",
      'pods "web-0" is forbidden: status unknown for quota: compute, resources: pods',
      1_000,
      "PodRefused uncertain",
    ],
    [
      "PodSecurity",
      'pods "web-7d4b9c-x2x7k" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "app" must set securityContext.allowPrivilegeEscalation=false)',
      0,
      "PodRefused certain",
    ],
    [
      "a LimitRange",
      'pods "web-7d4b9c-x2x7k" is forbidden: maximum cpu usage per Container is 500m, but limit is 1',
      0,
      "PodRefused certain",
    ],
    [
      "a webhook that denies",
      'admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/default/web was blocked',
      0,
      "PodRefused certain",
    ],
    ["a webhook that does not answer, at first", noWebhook, 1_000, "PodRefused uncertain"],
    ["a webhook that does not answer for a minute", noWebhook, 60_000, "PodRefused certain"],
    [
      "a service account that may yet come",
      'pods "web-7d4b9c-x2x7k" is forbidden: error looking up service account default/web: serviceaccount "web" not found',
      1_000,
      "PodRefused uncertain",
    ],
  ] as const
).map(([what, message, agoMs, expected]) => [what, evidenceOf([], { message, sinceMs: now - agoMs }), expected]);

const starting = pod({ containers: [waiting("ContainerCreating")] });
const missingSecret = evidenceOf([
  pod({ containers: [waiting("CreateContainerConfigError", 'secret "web" not found')] }),
]);

const others: readonly Row[] = [
  ["nothing made yet", evidenceOf([]), "PodMissing progress"],
  ["a Secret that is missing, at first", missingSecret, "ContainerNotCreated uncertain"],
  ["pulling, or mounting volumes", evidenceOf([starting]), "ContainerStarting progress"],
  [
    "running, not ready",
    evidenceOf([pod({ phase: "Running", containers: [container({ running: {} })] })]),
    "NotReady progress",
  ],
  [
    "one pod ready beside one that crashes",
    evidenceOf([crashed(3, "back-off"), pod({ conditions: [{ type: "Ready", status: "True" }] })]),
    "well",
  ],
  [
    "one pod that may yet be ready beside one that crashes",
    evidenceOf([crashed(3, "back-off"), starting]),
    "ContainerStarting progress",
  ],
  [
    "a pod that starts while a quota keeps out the second",
    evidenceOf([starting], { message: "exceeded quota: compute, requested: pods=1", sinceMs: now }),
    "ContainerStarting progress",
  ],
  ["two pods that both crash", evidenceOf([crashed(3, "back-off"), crashed(4, "back-off")]), "CrashLoop certain"],
];

describe("judge", () => {
  for (const [group, rows] of Object.entries({ images, exits, scheduling, creation, others })) {
    describe(group, () => {
      for (const [what, evidence, expected] of rows)
        it(`${what}: ${expected}`, () => assert.equal(verdict(judge(evidence, now, defaultPatience)), expected));
    });
  }

  it("says when to look again where time alone decides", () => {
    const at = (evidence: Evidence) => judge(evidence, now, defaultPatience)?.againInMs;
    assert.equal(at(evidenceOf([pod({ conditions: unscheduled(noRoom, now - 40_000) })])), 260_000);
    assert.equal(at(evidenceOf([pod({ conditions: unscheduled(noRoom, now - 300_000) })])), undefined);
    assert.equal(at(evidenceOf([crashed(3, "running", 1_000, 4_000)])), 6_000);
    assert.equal(at(evidenceOf([], { message: "no", sinceMs: now - 10_000 })), 50_000);
  });

  it("gives a Secret that is missing a minute to come", () => {
    const after = (ms: number) => verdict(judge(missingSecret, now + ms, defaultPatience));
    assert.equal(after(59_999), "ContainerNotCreated uncertain");
    assert.equal(after(60_000), "ContainerNotCreated certain");
  });

  it("waits anew from when an autoscaler began to make a node", () => {
    const { pods } = evidenceOf([pod({ conditions: unscheduled(noRoom, now - 400_000) })]);
    const coming = (agoMs: number) => {
      const told = pods.map((one) => ({ ...one, nodeComingMs: now - agoMs }));
      return verdict(judge({ pods: told, createFailure: undefined, replicas: 1 }, now, defaultPatience));
    };
    assert.equal(coming(200_000), "Unschedulable uncertain");
    assert.equal(coming(300_000), "Unschedulable certain");
  });

  it("blames no pods that had ended before the target was to be up", () => {
    const evicted = ["web-1", "web-2", "web-3"].map((name) => pod({ name, phase: "Failed", createdMs: now - 60_000 }));
    const evidence = evidenceOf(evicted);
    const since = (ms: number) => {
      const pods = podsSince(evidence.pods, ms);
      return verdict(judge({ ...evidence, pods }, now, defaultPatience));
    };
    assert.equal(since(now - 2_000), "PodMissing progress");
    assert.equal(since(now - 90_000), "CrashLoop certain");
    // what has not ended may yet be ready, however old it is
    const [running] = evidenceOf([pod({ phase: "Running", createdMs: 0 })]).pods;
    assert.deepEqual(podsSince([running!], now), [running]);
  });

  it("tells that the Service selects none of the target's pods", () => {
    const { reason, message } = judge(evidenceOf([], undefined, 2), now, defaultPatience)!;
    assert.deepEqual([reason, message], ["PodMissing", "the target has 2 pods, and the Service selects none of them"]);
  });

  it("tells which pod, which container and how it ended, and nothing that the application said or was given", () => {
    const { message } = judge(evidenceOf([crashed(3, "back-off")]), now, defaultPatience)!;
    assert.equal(message, "pod web-1, container app ended 3 times: exit code 1 (Error)");
    const history = new PodHistory();
    const trimmed = trimPod(crashed(3, "terminated"));
    history.see(trimmed, now);
    assert.ok(!JSON.stringify([trimmed, history.evidenceOf(trimmed, now)]).includes("hunter2"));
  });
});
