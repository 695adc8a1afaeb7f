/**
 * A host with one CPU that adds next to nothing to what is measured: locks are free and not looked after, time is
 * one sum, and a program is run by who calls it, from its first step to the one it is told to end at.
 */
import type { Host, Step } from "@vnic/dma-api/core"

const CALL_DEPTH = 16

export interface BareHost extends Host {
  /** Runs from `step` on until `end` comes up. */
  runTo(step: number, end: number): void
}

export function makeBareHost(): BareHost {
  const steps: Array<Step> = [() => 0]
  const localPs = new Float64Array(1)
  const stack = new Int32Array(CALL_DEPTH)
  let depth = 0
  const runTo = (first: number, end: number): void => {
    for (let step = first; step !== end;) step = steps[step]!(0)
  }
  return {
    count: 1,
    localPs,
    runTo,
    define: (_name, step) => steps.push(step) - 1,
    spend: (_cpu, _account, durationPs) => {
      localPs[0]! += durationPs
    },
    call: (_cpu, entry, then) => {
      stack[depth++] = then
      return entry
    },
    leave: () => stack[--depth]!,
    makeLock: () => 0,
    lock: (_cpu, _lock, then) => then,
    unlock: () => {},
    runAlone: (_cpu, entry) => {
      stack[depth++] = 0
      runTo(entry, 0)
    },
    later: () => {}
  }
}
