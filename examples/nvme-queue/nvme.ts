/**
 * A tiny NVMe-like controller: one submission and one completion queue for each CPU, in host memory, and a disk of
 * 512-byte blocks behind them. It reaches memory by bus addresses alone. Entries are laid out as NVMe lays them out
 * (64-byte commands, 16-byte completions with a phase bit); everything else that a real controller has is left out.
 */
import type { BusPort } from "@vnic/iommu/core"
import type { Timeline } from "@vnic/sim/core"

export const OPCODE_WRITE = 1
export const OPCODE_READ = 2
export const COMMAND_WORDS = 16
export const COMPLETION_WORDS = 4
export const BLOCK_WORDS = 128
/** Words of a command: operation and identifier, bus address (low half), block. */
export const WORD_OPCODE = 0
export const WORD_PRP1 = 6
export const WORD_BLOCK = 10
/** Word of a completion: the command's identifier, the phase in bit 16, an error in bit 17. */
export const WORD_STATUS = 3
/** From the doorbell to the completion of a command, picoseconds. */
const LATENCY_PS = 20_000_000

/** The phase bit of a ring's n-th completion: it tells a new one from what a lap before left there. */
export const phaseOf = (index: number, depth: number): number => 1 - (Math.floor(index / depth) % 2)

export class Controller {
  /** Commands that the IOMMU let fail. */
  faults = 0
  /** Called for each completion. */
  interrupt: (queue: number) => void = () => {}
  private readonly timeline: Timeline
  private readonly port: BusPort
  private readonly depth: number
  private readonly disk: Int32Array
  /** Where the driver put each queue's two rings. */
  private readonly submissionBus: Array<number> = []
  private readonly completionBus: Array<number> = []
  private readonly command = new Int32Array(COMMAND_WORDS)
  private readonly completion = new Int32Array(COMPLETION_WORDS)
  /** Commands fetched, and completions written, since the beginning. */
  private readonly fetched: Int32Array
  private readonly completed: Int32Array
  private readonly lane: number

  constructor(timeline: Timeline, port: BusPort, queueCount: number, depth: number) {
    this.timeline = timeline
    this.port = port
    this.depth = depth
    this.disk = new Int32Array(queueCount * depth * BLOCK_WORDS)
    this.fetched = new Int32Array(queueCount)
    this.completed = new Int32Array(queueCount)
    this.lane = timeline.addLane("nvme completion", (queue) => this.execute(queue), queueCount * depth)
  }

  /** Tells where a queue's rings are. */
  attach(queue: number, submissionBus: number, completionBus: number): void {
    this.submissionBus[queue] = submissionBus
    this.completionBus[queue] = completionBus
  }

  /** The submission queue's tail doorbell: commands up to `tail` (counted from the beginning) may be taken. */
  doorbell(queue: number, tail: number): void {
    const { timeline } = this
    for (; this.fetched[queue]! < tail; this.fetched[queue]!++)
      timeline.push(this.lane, timeline.nowPs + LATENCY_PS, queue)
  }

  /** One command: fetched, done, completed, told. */
  private execute(queue: number): void {
    const { command, completed, completion, depth, port } = this
    const slot = completed[queue]! % depth
    const fetchBus = this.submissionBus[queue]! + slot * COMMAND_WORDS * 4
    const isFetched = port.readWords(fetchBus, command, 0, COMMAND_WORDS, slot)
    const move = (command[WORD_OPCODE]! & 0xff) === OPCODE_WRITE ? port.readWords : port.writeWords
    const first = command[WORD_BLOCK]! * BLOCK_WORDS
    const isDone = isFetched && move(command[WORD_PRP1]! >>> 0, this.disk, first, BLOCK_WORDS, slot)
    if (!isDone) this.faults++
    const phase = phaseOf(completed[queue]!, depth)
    completion[WORD_STATUS] = (command[WORD_OPCODE]! >>> 16) | (phase << 16) | (isDone ? 0 : 1 << 17)
    port.writeWords(this.completionBus[queue]! + slot * COMPLETION_WORDS * 4, completion, 0, COMPLETION_WORDS, slot)
    completed[queue]!++
    this.interrupt(queue)
  }
}
