export * from "./Errors.ts"
export * from "./Iommu.ts"
export * from "./Options.ts"
