export * from "./dissect.ts"
export * from "./naiveReceiver.ts"
