/**
 * The smallest host: one CPU, nothing to wait for. It lets the DMA API run in a test or in another
 * simulator that has no notion of CPUs; time is kept per CPU all the same, as the sum of what was spent.
 */
import { ACCOUNT_COUNT, fail } from "@vnic/sim/core"
import type { Host, Step } from "./types.ts"

export interface PlainHost extends Host {
  /** Picoseconds spent by account. */
  readonly ledger: Float64Array
  /** Lets the CPU be idle until `atPs`, but for what is to be done until then. */
  idleUntil(atPs: number): void
}

/** What is to be done at a time, latest first. */
interface Later {
  readonly atPs: number
  readonly entry: number
}

/** A host with one CPU whose locks are always free. */
export function makePlainHost(): PlainHost {
  const steps: Array<Step> = [() => fail("step 0 was run")]
  const held: Array<boolean> = []
  const stack: Array<number> = []
  const localPs = new Float64Array(1)
  const ledger = new Float64Array(ACCOUNT_COUNT)
  const laters: Array<Later> = []
  /** A step threw: what it had begun is half done, and its locks are held for ever. */
  let isBroken = false
  const runAlone = (cpu: number, entry: number): void => {
    if (isBroken) fail("the host is broken: an error was thrown in the middle of a call")
    stack.push(0)
    let step = entry
    try {
      while (step !== 0) step = steps[step]!(cpu)
    } catch (error) {
      isBroken = true
      throw error
    }
  }
  return {
    count: 1,
    localPs,
    ledger,
    define: (_name, step) => steps.push(step) - 1,
    spend: (_cpu, account, durationPs) => {
      localPs[0]! += durationPs
      ledger[account]! += durationPs
    },
    call: (_cpu, entry, then) => {
      stack.push(then)
      return entry
    },
    leave: () => stack.pop() ?? fail("a subroutine was left that was not entered"),
    makeLock: () => held.push(false) - 1,
    lock: (_cpu, lock, then) => {
      if (held[lock] === true) fail("the only CPU asked for a lock that it holds")
      held[lock] = true
      return then
    },
    unlock: (_cpu, lock) => {
      if (held[lock] !== true) fail("a lock that is free was let go")
      held[lock] = false
    },
    runAlone,
    later: (_cpu, atPs, entry) => {
      let index = laters.length
      while (index > 0 && laters[index - 1]!.atPs <= atPs) index--
      laters.splice(index, 0, { atPs, entry })
    },
    idleUntil: (atPs) => {
      while (laters.length > 0 && laters.at(-1)!.atPs <= atPs) {
        const { atPs: duePs, entry } = laters.pop()!
        localPs[0] = Math.max(localPs[0]!, duePs)
        runAlone(0, entry)
      }
      localPs[0] = Math.max(localPs[0]!, atPs)
    }
  }
}
