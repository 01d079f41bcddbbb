import v8 from "node:v8";

// Loading leaves little but garbage. A young generation that grows by it stays so; once loaded it may grow, for requests
// need it (docs/decisions/0005-memory.md). Imported before all that loads.
v8.setFlagsFromString("--semi-space-growth-factor=1");
