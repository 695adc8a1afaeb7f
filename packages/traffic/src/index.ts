export * from "./Errors.ts"
export * from "./Options.ts"
export * from "./Traffic.ts"
