import { endWhileLoading } from "../../../packages/core/src/end-while-loading.ts";

// The first import of a program, so that it comes before all that takes time to load.
endWhileLoading();
