export * from "./Errors.ts"
export * from "./NicDriver.ts"
export * from "./Options.ts"
