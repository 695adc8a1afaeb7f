/** The other side of the link, for tests. */
export * from "./fakeQueues.ts"
export * from "./idealHost.ts"
export * from "./loopbackWire.ts"
