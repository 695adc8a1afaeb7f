/**
 * The driver of that controller, as CPU programs: every CPU fills its queue with writes of one block each, then reads
 * them back, and so on; it maps each buffer before its command and unmaps it after its completion.
 */
import { type Device, FROM_DEVICE, TO_DEVICE } from "@vnic/dma-api/core"
import { ACCOUNT_DRIVER, type SimulationCore } from "@vnic/sim/core"
import * as Nvme from "./nvme.ts"

export const DEPTH = 32
const BLOCK_BYTES = Nvme.BLOCK_WORDS * 4
const DRIVER_WORK_PS = 100_000

/** Rounds of writes and of reads take turns. */
const isWrite = (index: number): boolean => Math.floor(index / DEPTH) % 2 === 0
const directionOf = (index: number) => (isWrite(index) ? TO_DEVICE : FROM_DEVICE)
const valueOf = (cpu: number, index: number): number => (cpu << 20) | (isWrite(index) ? index : index - DEPTH)

/** The queues in memory, brought up. */
const makeRings = ({ cpus, pages }: SimulationCore, device: Device, controller: Nvme.Controller) =>
  Array.from({ length: cpus.count }, (_, cpu) => {
    const submission = device.allocCoherent(0, DEPTH * Nvme.COMMAND_WORDS * 4)!
    const completion = device.allocCoherent(0, DEPTH * Nvme.COMPLETION_WORDS * 4)!
    controller.attach(cpu, submission.busAddr, completion.busAddr)
    return { submission, completion, word: pages.allocate(pages.orderFor(DEPTH * BLOCK_BYTES)) >> 2 }
  })

/** Brings the queues up and runs `total` commands on every CPU; returns how many bytes came back wrong. */
export function drive(sim: SimulationCore, device: Device, controller: Nvme.Controller, total: number): number {
  const { cpus, profile, timeline } = sim
  const { words } = sim.memory
  const rings = makeRings(sim, device, controller)
  const submitted = new Int32Array(cpus.count)
  const reaped = new Int32Array(cpus.count)
  const busAddrs = new Float64Array(cpus.count * DEPTH)
  let wrongBytes = 0
  // A doorbell carries the tail that was written: the CPU may be further on by its own clock.
  const ring = (value: number): void => controller.doorbell(value % cpus.count, Math.floor(value / cpus.count))
  const doorbells = timeline.addLane("doorbell", ring, 4 * cpus.count * DEPTH)
  const wordOf = (cpu: number, index: number): number => rings[cpu]!.word + (index % DEPTH) * Nvme.BLOCK_WORDS

  const submit = cpus.define("submit", (cpu) => {
    const index = submitted[cpu]!
    const roundEnd = (Math.floor(reaped[cpu]! / DEPTH) + 1) * DEPTH
    if (index === Math.min(total, roundEnd)) return reap
    const at = wordOf(cpu, index)
    words.fill(isWrite(index) ? valueOf(cpu, index) : 0, at, at + Nvme.BLOCK_WORDS)
    return device.beginMapSingle(cpu, at * 4, BLOCK_BYTES, directionOf(index), mapped)
  })
  const mapped = cpus.define("mapped", (cpu) => {
    const slot = submitted[cpu]! % DEPTH
    const busAddr = device.mapped[cpu]!
    if (device.mappingError(busAddr)) throw new Error(`nvme0: a map failed on CPU ${cpu}`)
    busAddrs[cpu * DEPTH + slot] = busAddr
    const at = (rings[cpu]!.submission.phys >> 2) + slot * Nvme.COMMAND_WORDS
    words[at + Nvme.WORD_OPCODE] = (isWrite(submitted[cpu]!) ? Nvme.OPCODE_WRITE : Nvme.OPCODE_READ) | (slot << 16)
    words[at + Nvme.WORD_PRP1] = busAddr
    words[at + Nvme.WORD_BLOCK] = cpu * DEPTH + slot
    submitted[cpu]!++
    cpus.spend(cpu, ACCOUNT_DRIVER, DRIVER_WORK_PS)
    timeline.push(doorbells, cpus.localPs[cpu]! + profile.mmioLatency, submitted[cpu]! * cpus.count + cpu)
    return submit
  })
  const reap = cpus.define("reap", (cpu) => {
    const index = reaped[cpu]!
    if (index === total) return cpus.sleep(cpu)
    const at = (rings[cpu]!.completion.phys >> 2) + (index % DEPTH) * Nvme.COMPLETION_WORDS
    const isDone = ((words[at + Nvme.WORD_STATUS]! >> 16) & 1) === Nvme.phaseOf(index, DEPTH)
    // What the controller does until this CPU's own time is still to come.
    if (!isDone) return cpus.isAhead(cpu) ? cpus.lookAgain(cpu, reap) : cpus.sleep(cpu)
    cpus.spend(cpu, ACCOUNT_DRIVER, DRIVER_WORK_PS)
    return device.beginUnmapSingle(
      cpu,
      busAddrs[cpu * DEPTH + (index % DEPTH)]!,
      BLOCK_BYTES,
      directionOf(index),
      unmapped
    )
  })
  const unmapped = cpus.define("unmapped", (cpu) => {
    const index = reaped[cpu]!++
    const at = wordOf(cpu, index)
    for (let word = 0; word < Nvme.BLOCK_WORDS; word++) if (words[at + word] !== valueOf(cpu, index)) wrongBytes += 4
    return submit
  })

  controller.interrupt = (cpu) => {
    if (!cpus.isAwake(cpu)) cpus.wake(cpu, reap)
  }
  cpus.ledger.fill(0)
  for (let cpu = 0; cpu < cpus.count; cpu++) cpus.wake(cpu, submit)
  timeline.runUntil(Infinity, Infinity)
  for (const { completion, submission } of rings) {
    device.freeCoherent(0, submission)
    device.freeCoherent(0, completion)
  }
  return wrongBytes
}
