export * from "./naiveScheduler.ts"
export * from "./soloWorld.ts"
