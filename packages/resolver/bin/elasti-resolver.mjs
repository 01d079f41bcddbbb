#!/usr/bin/env node
import { launch } from "@elasti/core/launch";

await launch("elasti-resolver", () => import("../src/main.ts"));
