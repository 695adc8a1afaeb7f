/** Goal: what a domain's table asks of a CPU is what its pages and entries cost. Method: the ledger after each call. */
import { ENOMEM } from "@vnic/iommu/core"
import { soloVtd } from "@vnic/iommu/testing"
import { ACCOUNT_PAGE_ALLOC, ACCOUNT_PAGE_TABLE, findProfile, profileValues } from "@vnic/sim/core"
import { describe, expect, it } from "vitest"

const BOTH_WAYS = 0
const CPU = 0

describe("the table's time", () => {
  const profile = profileValues(findProfile("x86-sandybridge")!)

  it("is a map's and an unmap's first entry, each further one, and pages for tables", () => {
    const { buffer, sim, table } = soloVtd()
    const { ledger } = sim.cpus
    table.insert(CPU, 0, 3, buffer, BOTH_WAYS)
    expect(ledger[ACCOUNT_PAGE_TABLE]).toBe(profile.pageTableInsert + 2 * profile.pageTableEntry)
    expect(ledger[ACCOUNT_PAGE_ALLOC]).toBe(3 * profile.pageAllocation)
    table.remove(CPU, 0, 3)
    table.insert(CPU, 0, 1, buffer, BOTH_WAYS)
    expect(ledger[ACCOUNT_PAGE_TABLE]).toBe(
      2 * profile.pageTableInsert + profile.pageTableRemove + 4 * profile.pageTableEntry
    )
    expect(ledger[ACCOUNT_PAGE_ALLOC]).toBe(3 * profile.pageAllocation)
    expect(sim.cpus.localPs[CPU]).toBe(ledger[ACCOUNT_PAGE_TABLE]! + ledger[ACCOUNT_PAGE_ALLOC]!)
  })

  it("is that of a table, and of all its entries, where an unmap splits a leaf", () => {
    const { sim, table } = soloVtd()
    table.insert(CPU, 0, 512, 0, BOTH_WAYS)
    const { ledger } = sim.cpus
    const before = [ledger[ACCOUNT_PAGE_TABLE]!, ledger[ACCOUNT_PAGE_ALLOC]!] as const
    table.remove(CPU, 9, 1)
    expect(ledger[ACCOUNT_PAGE_TABLE]! - before[0]).toBe(profile.pageTableRemove + 512 * profile.pageTableEntry)
    expect(ledger[ACCOUNT_PAGE_ALLOC]! - before[1]).toBe(profile.pageAllocation)
  })

  it("is spent by a map that fails, too", () => {
    const { buffer, sim, table } = soloVtd()
    sim.pages.failAt = 2
    expect(table.insert(CPU, 0, 1, buffer, BOTH_WAYS)).toBe(ENOMEM)
    expect(table.refusals).toBe(1)
    expect(sim.cpus.ledger[ACCOUNT_PAGE_TABLE]).toBe(profile.pageTableInsert)
  })
})
