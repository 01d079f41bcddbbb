import { it } from "node:test";
import { startWorld } from "../e2e/world.ts";
it("times", async () => {
  let t = Date.now(); const lap = (w: string) => { console.log(w, Date.now() - t); t = Date.now(); };
  const world = await startWorld({ operators: 1, resolvers: 2 }); lap("start");
  await Promise.all([0, 1, 2].map((n) => world.sleeper({ name: `t${n}` }))); lap("sleepers");
  await world.close(); lap("close");
});
