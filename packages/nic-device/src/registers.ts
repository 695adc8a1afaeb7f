/** The register interface of the device: what a driver needs to know of it, and all that it may know. */
export * from "./registers/descriptors.ts"
export * from "./registers/fields.ts"
export * from "./registers/offsets.ts"
export * from "./registers/register.ts"
export * from "./registers/table.ts"
