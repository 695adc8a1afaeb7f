export * from "./HostStack.ts"
