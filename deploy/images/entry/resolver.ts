import "./first.ts";
import "./quiet-heap.ts";
import { main } from "../../../packages/resolver/src/main.ts";
import { run } from "./run.ts";

run(() => main(process.env));
