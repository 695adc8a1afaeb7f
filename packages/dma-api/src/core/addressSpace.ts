/**
 * The bus addresses of one table: which are handed out, and when those that were unmapped may be handed out again.
 * The devices of a table share them.
 */
import { assert } from "@vnic/sim/core"
import { ALLOCATORS, type AllocatorName, type MakeAllocator } from "./allocators.ts"
import { checkedAllocator } from "./checkedAllocator.ts"
import {
  makeNoFlush,
  StrictFlush,
  type FlushGranularity,
  type FlushName,
  type FlushPolicy,
  type FreeRange
} from "./flush.ts"
import { FlushGauge } from "./flushGauge.ts"
import { LazyGlobalFlush } from "./flushLazyGlobal.ts"
import { LazyPerCpuFlush } from "./flushLazyPerCpu.ts"
import type { IovaAllocator, IovaWindow, LockAcrossTableWrite } from "./iova/allocator.ts"
import { SharedPages } from "./sharedPages.ts"
import type { DmaCosts, Host, Table } from "./types.ts"

export interface AddressSpace {
  readonly table: Table
  readonly allocator: IovaAllocator
  readonly policy: FlushPolicy
  /** Where live mappings may share pages. */
  readonly shared: SharedPages | undefined
  /** Absent for tables that need no flush. */
  readonly gauge: FlushGauge | undefined
  /** Flushes a range at once and frees nothing; the same arguments as `beginRelease`. */
  readonly flushNow: FlushPolicy["beginRelease"]
}

export interface AddressSpaceOptions {
  readonly host: Host
  readonly table: Table
  readonly costs: DmaCosts
  readonly allocator: AllocatorName | MakeAllocator
  readonly lockAcrossTableWrite: LockAcrossTableWrite
  readonly flush: FlushName
  readonly flushGranularity: FlushGranularity
}

const PAST_4_GIB = 2 ** 32

/** All of a table's window, nothing handed out. */
export function makeAddressSpace(options: AddressSpaceOptions): AddressSpace {
  const { costs, flush, host, table } = options
  const pageBytes = 2 ** table.pageShift
  const isLazy = flush !== "strict"
  assert(!isLazy || table.invalidation !== undefined, "a table that needs no flush cannot be flushed lazily")
  const window: IovaWindow = {
    host,
    costs,
    pageShift: table.pageShift,
    pageCount: table.pageCount,
    startPage: table.windowStart / pageBytes,
    isFirstPageReserved: table.windowStart === 0,
    reserved: table.reserved ?? [],
    tableName: table.name ?? "IOVA",
    pagesBelow4GiB: Math.max(0, (PAST_4_GIB - table.windowStart) / pageBytes),
    // What is freed later is freed without the lock that its unmap would have held.
    lockAcrossTableWrite: isLazy ? "none" : options.lockAcrossTableWrite
  }
  const allocator: IovaAllocator =
    typeof options.allocator === "string"
      ? ALLOCATORS[options.allocator](window)
      : checkedAllocator(options.allocator(window), window)
  // A page that is shared is freed first, and flushed when its last user goes: see iommuBackend.ts.
  const free: FreeRange =
    allocator.uses === undefined ? allocator.beginFree.bind(allocator) : (_cpu, _first, _pages, then) => then
  const { uses } = allocator
  const sharedWith = (policy: FlushPolicy, gauge?: FlushGauge): SharedPages | undefined =>
    uses && new SharedPages({ host, table, policy, gauge, uses })
  const { invalidation } = table
  if (invalidation === undefined) {
    const policy = makeNoFlush(free)
    const flushNow: FreeRange = (_cpu, _first, _pages, then) => then
    return { table, allocator, gauge: undefined, policy, shared: sharedWith(policy), flushNow }
  }
  const gauge = new FlushGauge(host.count)
  const flushOptions = { host, invalidation, free, gauge, pageBytes, queuePs: costs.flushQueuePs }
  const strict = new StrictFlush(flushOptions, options.flushGranularity)
  const policy = isLazy ? makeLazy(flush, flushOptions) : strict
  const shared = sharedWith(policy, isLazy ? gauge : undefined)
  return { table, allocator, gauge, policy, shared, flushNow: strict.beginFlush }
}

const makeLazy = (flush: Exclude<FlushName, "strict">, options: ConstructorParameters<typeof LazyGlobalFlush>[0]) =>
  flush === "lazy-global" ? new LazyGlobalFlush(options) : new LazyPerCpuFlush(options)
