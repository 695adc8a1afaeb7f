export * from "./Dma.ts"
export * from "./Errors.ts"
export * from "./Options.ts"
