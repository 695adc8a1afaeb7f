/**
 * Register writes of one CPU on their way to the device. A CPU may be far ahead of the world when it writes (a full
 * ring polled without a wait is milliseconds of work), so any number of them can be under way; they arrive in order.
 */
interface Device {
  writeRegister(offset: number, value: number): void
}

const CAPACITY_FIRST = 64
/** Marks the last write of a group. Offsets of registers have fewer bits. */
const GROUP_END_BIT = 1 << 30

export class RegisterWrites {
  private offsets = new Int32Array(CAPACITY_FIRST)
  private values = new Int32Array(CAPACITY_FIRST)
  private head = 0
  private count = 0
  /** Writes that `endGroup` has not let go. */
  private heldCount = 0

  readonly add = (offset: number, value: number): void => {
    if (this.count === this.offsets.length) this.grow()
    const slot = (this.head + this.count) & (this.offsets.length - 1)
    this.offsets[slot] = offset
    this.values[slot] = value
    this.count++
    this.heldCount++
  }

  private grow(): void {
    const { count, head, offsets, values } = this
    const mask = count - 1
    this.offsets = new Int32Array(2 * count)
    this.values = new Int32Array(2 * count)
    for (let index = 0; index < count; index++) {
      this.offsets[index] = offsets[(head + index) & mask]!
      this.values[index] = values[(head + index) & mask]!
    }
    this.head = 0
  }

  /** What was added since the last group is one group now; false when that is nothing. */
  readonly endGroup = (): boolean => {
    if (this.heldCount === 0) return false
    this.heldCount = 0
    this.offsets[(this.head + this.count - 1) & (this.offsets.length - 1)]! |= GROUP_END_BIT
    return true
  }

  /** The oldest group reaches the device. */
  readonly arrive = (device: Device): void => {
    for (let isEnd = false; !isEnd;) {
      const slot = this.head
      const offset = this.offsets[slot]!
      isEnd = (offset & GROUP_END_BIT) !== 0
      this.head = (slot + 1) & (this.offsets.length - 1)
      this.count--
      device.writeRegister(offset & ~GROUP_END_BIT, this.values[slot]!)
    }
  }
}
