export { DEFAULT_PAGE_SHIFT } from "./core/assembly.ts"
export * from "./Errors.ts"
export * from "./Iommu.ts"
export * from "./Options.ts"
