/**
 * A domain as a table that a DMA API can target: page-table writes that take CPU time, and invalidations that
 * the CPU waits for. Maps make no access of the unit at all; an unmap clears entries, and what the IOTLB holds
 * of them stays usable until the invalidation, which is the caller's to begin.
 *
 * A device may read what is mapped to it and write what is mapped from it, nothing else.
 */
import { ACCOUNT_PAGE_ALLOC, ACCOUNT_PAGE_TABLE, fail, type StepId } from "@vnic/sim/core"
import type { MapSites } from "../mapSites.ts"
import { DIRECTION_FROM_DEVICE, DIRECTION_TO_DEVICE, type CpuTime } from "../pvdma.ts"
import type { Invalidator } from "./invalidator.ts"
import type { Iotlb } from "./iotlb.ts"
import {
  INTERRUPT_FIRST_PAGE,
  INTERRUPT_PAGES,
  STAGE_PRESENT,
  STAGE_READ,
  STAGE_WRITE,
  VTD_PAGE_BYTES,
  VTD_PAGE_SHIFT
} from "./layout.ts"
import { MAPPED, type SecondStage } from "./secondStage.ts"

/** What page-table work costs a CPU, picoseconds. */
export interface VtdCosts {
  /** A map's writing of its first entry, and an unmap's clearing of it. */
  readonly insertPs: number
  readonly removePs: number
  /** Each further entry. */
  readonly entryPs: number
  /** Allocating a page for a table. */
  readonly pageAllocationPs: number
}

export interface VtdTableOptions {
  readonly domain: number
  readonly stage: SecondStage
  readonly iotlb: Iotlb
  readonly invalidator: Invalidator
  readonly sites: MapSites
  readonly cpus: CpuTime
  readonly costs: VtdCosts
  /** Pages that are handed out, from bus address 0 on. */
  readonly pageCount: number
}

// Exported and imported names cost a load and a check at each use; the hot path has its own.
const ALLOC = ACCOUNT_PAGE_ALLOC
const TABLE = ACCOUNT_PAGE_TABLE
const OK = MAPPED
const PERMISSIONS = [STAGE_PRESENT, 0, 0]
PERMISSIONS[DIRECTION_TO_DEVICE] = STAGE_READ
PERMISSIONS[DIRECTION_FROM_DEVICE] = STAGE_WRITE

export class VtdTable {
  readonly pageShift = VTD_PAGE_SHIFT
  readonly windowStart = 0
  /** What no device can use for memory: the addresses of interrupt messages. */
  readonly reserved = [{ firstPage: INTERRUPT_FIRST_PAGE, pageCount: INTERRUPT_PAGES }]
  declare readonly pageCount: number
  /** Maps that failed: something was mapped there, or no page was left for a table. */
  refusals = 0
  /** How translations that a device may hold are invalidated. */
  declare readonly invalidation: {
    readonly beginPages: (cpu: number, iovaPage: number, pageCount: number, then: StepId) => StepId
    readonly beginAll: (cpu: number, then: StepId) => StepId
  }
  declare private readonly domain: number
  declare private readonly stage: SecondStage
  declare private readonly iotlb: Iotlb
  declare private readonly sites: MapSites
  declare private readonly cpus: CpuTime
  declare private readonly costs: VtdCosts

  constructor(options: VtdTableOptions) {
    const { domain, invalidator, stage } = options
    if (options.pageCount > stage.pageCount) fail("a window is larger than its address space")
    this.domain = domain
    this.stage = stage
    this.iotlb = options.iotlb
    this.sites = options.sites
    this.cpus = options.cpus
    this.costs = options.costs
    this.pageCount = options.pageCount
    this.invalidation = {
      beginPages: (cpu, iovaPage, pageCount, then) => invalidator.beginPages(cpu, domain, iovaPage, pageCount, then),
      beginAll: (cpu, then) => invalidator.beginDomain(cpu, domain, then)
    }
  }

  /** Maps pages; 0, or the table's error with none of them mapped. */
  readonly insert = (cpu: number, iovaPage: number, count: number, phys: number, direction: number): number => {
    if ((phys & (VTD_PAGE_BYTES - 1)) !== 0) fail("a map of memory that is not IOMMU page aligned")
    const code = this.stage.map(iovaPage, count, phys, PERMISSIONS[direction]!)
    this.spend(cpu, this.costs.insertPs)
    if (code === OK) this.sites.inserted(cpu, iovaPage, count)
    else this.refusals++
    return code
  }

  /** Unmaps pages, whatever they were mapped with; what a device holds of them is its to use until invalidated. */
  readonly remove = (cpu: number, iovaPage: number, count: number): void => {
    this.stage.unmap(iovaPage, count)
    this.spend(cpu, this.costs.removePs)
    this.iotlb.removed(this.domain, iovaPage, count, this.cpus.localPs[cpu]!)
    this.sites.removed(cpu, iovaPage, count)
  }

  /** What the stage did last costs a CPU, its first entry `firstPs`; a leaf that was split, the table in its place. */
  private readonly spend = (cpu: number, firstPs: number): void => {
    const { costs, cpus, stage } = this
    const further = stage.leavesChanged > 1 ? stage.leavesChanged - 1 : 0
    cpus.spend(cpu, TABLE, firstPs + further * costs.entryPs)
    if (stage.tablesAdded > 0) cpus.spend(cpu, ALLOC, stage.tablesAdded * costs.pageAllocationPs)
  }
}

/** A domain's table. */
export const makeVtdTable = (options: VtdTableOptions): VtdTable => new VtdTable(options)
