export { DROP_CAUSES, FRAME_MAX_BYTES, type DeviceCounters, type DropCause } from "./core/index.ts"
export * from "./NicDevice.ts"
export * from "./Options.ts"
