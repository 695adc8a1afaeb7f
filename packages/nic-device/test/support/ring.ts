import type { DeviceBench } from "@vnic/nic-device/testing"

/** A receive ring in a bench's memory, with buffers, driven by hand. */
export interface RxRing {
  readonly queue: number
  readonly base: number
  readonly descriptors: number
  /** Gives the device `count` more descriptors, with their buffers. */
  readonly post: (count: number) => void
  /** Bytes of the next frame that is complete, over as many descriptors as it has; undefined when none is. */
  readonly take: () => Array<number> | undefined
  /** The four words of the descriptor that a frame taken last ended in. */
  readonly lastWords: () => Int32Array
  /** Descriptors that the device may use. */
  readonly owned: () => number
}

export interface RingShape {
  readonly queue?: number
  readonly descriptors?: number
  readonly packetBytes?: number
  readonly headerBytes?: number
  readonly isDropping?: boolean
}

const RING_BASE = 0x10000
const RING_STRIDE = 0x10000
const BUFFER_BASE = 0x400000
/** Buffers of a queue; more descriptors than these share them. */
const BUFFERS = 64
const BUFFER_STRIDE = 0x1000
const HEADER_OFFSET = 0xc00

const bufferOf = (queue: number, index: number): number =>
  BUFFER_BASE + (queue * BUFFERS + (index % BUFFERS)) * BUFFER_STRIDE

/** Starts a receive ring, empty. */
export function startRing(bench: DeviceBench, shape: RingShape = {}): RxRing {
  const queue = shape.queue ?? 0
  const descriptors = shape.descriptors ?? 8
  const headerBytes = shape.headerBytes ?? 0
  const base = RING_BASE + queue * RING_STRIDE
  bench.driver.startRx({
    queue,
    base,
    descriptors,
    packetBytes: shape.packetBytes ?? 2048,
    headerBytes,
    isDropping: shape.isDropping ?? true
  })
  let posted = 0
  let taken = 0
  let words: Int32Array = new Int32Array(4)
  const post = (count: number): void => {
    for (let left = count; left > 0; left--) {
      const index = posted % descriptors
      const buffer = bufferOf(queue, index)
      bench.driver.writeRxDescriptor(base, index, buffer, headerBytes > 0 ? buffer + HEADER_OFFSET : 0)
      posted++
    }
    bench.driver.setRxTail(queue, posted % descriptors)
  }
  const part = (index: number): Array<number> => {
    words = bench.driver.descriptor(base, index)
    const buffer = bufferOf(queue, index)
    const inHeader = (words[0]! >>> 21) & 0x3ff
    const { bytes } = bench.memory
    return [
      ...bytes.subarray(buffer + HEADER_OFFSET, buffer + HEADER_OFFSET + inHeader),
      ...bytes.subarray(buffer, buffer + (words[3]! & 0xffff))
    ]
  }
  const take = (): Array<number> | undefined => {
    const bytes: Array<number> = []
    for (let next = taken; next < posted; next++) {
      const index = next % descriptors
      if (!bench.driver.isRxDone(base, index)) return undefined
      bytes.push(...part(index))
      if ((words[2]! & 2) === 0) continue
      taken = next + 1
      return bytes
    }
    return undefined
  }
  return { queue, base, descriptors, post, take, lastWords: () => words, owned: () => posted - taken }
}
