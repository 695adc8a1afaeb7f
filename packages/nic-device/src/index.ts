export { DROP_CAUSES, type DeviceCounters, type DropCause } from "./core/index.ts"
export * from "./NicDevice.ts"
export * from "./Options.ts"
