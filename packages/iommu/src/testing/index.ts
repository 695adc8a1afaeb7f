export * from "./faultingPort.ts"
export * from "./hostileDevice.ts"
export * from "./naiveDoor.ts"
export * from "./soloIommu.ts"
