export * from "./naive-scheduler.ts"
export * from "./solo-world.ts"
