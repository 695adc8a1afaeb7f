export * from "./deviceBench.ts"
export * from "./flatBusMaster.ts"
export * from "./recordingPhy.ts"
export * from "./scriptedDriver.ts"
