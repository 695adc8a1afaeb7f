export { footprintOf, type Footprint } from "./core/index.ts"
export * from "./Errors.ts"
export * from "./NicDriver.ts"
export * from "./Options.ts"
