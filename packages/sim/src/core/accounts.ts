/**
 * What simulated CPU time is spent on. Every picosecond that a CPU is busy is booked to exactly one of
 * these, so that a report's breakdown is the ledger itself and adds up to the busy time.
 */
export const ACCOUNTS = [
  "stack",
  "driver",
  "interrupt",
  "mmio",
  "copy",
  "pageAlloc",
  "dmaApi",
  "iova",
  "pageTable",
  "hypercall",
  "invalidate",
  "lockHandOff",
  "lockWait",
  "benchmark"
] as const

export type AccountName = (typeof ACCOUNTS)[number]

/** Index of an account in a CPU's ledger. */
export type Account = number

export const ACCOUNT_COUNT = ACCOUNTS.length
export const ACCOUNT_STACK: Account = ACCOUNTS.indexOf("stack")
export const ACCOUNT_DRIVER: Account = ACCOUNTS.indexOf("driver")
export const ACCOUNT_INTERRUPT: Account = ACCOUNTS.indexOf("interrupt")
export const ACCOUNT_MMIO: Account = ACCOUNTS.indexOf("mmio")
export const ACCOUNT_COPY: Account = ACCOUNTS.indexOf("copy")
export const ACCOUNT_PAGE_ALLOC: Account = ACCOUNTS.indexOf("pageAlloc")
export const ACCOUNT_DMA_API: Account = ACCOUNTS.indexOf("dmaApi")
export const ACCOUNT_IOVA: Account = ACCOUNTS.indexOf("iova")
export const ACCOUNT_PAGE_TABLE: Account = ACCOUNTS.indexOf("pageTable")
export const ACCOUNT_HYPERCALL: Account = ACCOUNTS.indexOf("hypercall")
export const ACCOUNT_INVALIDATE: Account = ACCOUNTS.indexOf("invalidate")
export const ACCOUNT_LOCK_HAND_OFF: Account = ACCOUNTS.indexOf("lockHandOff")
export const ACCOUNT_LOCK_WAIT: Account = ACCOUNTS.indexOf("lockWait")
export const ACCOUNT_BENCHMARK: Account = ACCOUNTS.indexOf("benchmark")
