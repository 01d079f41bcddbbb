#!/usr/bin/env node
import { launch } from "@elasti/core/launch";

await launch("elasti-operator", () => import("../src/main.ts"));
