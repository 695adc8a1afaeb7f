/**
 * What a receiver must have, computed the plain way: every byte of the stream that ever arrived, in a set.
 * An oracle for `StreamReceiver`; offsets count from the first byte of the stream and do not wrap.
 */
export class NaiveReceiver {
  private readonly arrived = new Set<number>()
  private nextOffset = 0

  /** Takes the bytes [offset, offset + sizeBytes); returns how many of them are new. */
  take(offset: number, sizeBytes: number): number {
    let newBytes = 0
    for (let index = offset; index < offset + sizeBytes; index++) {
      if (index < this.nextOffset || this.arrived.has(index)) continue
      this.arrived.add(index)
      newBytes++
    }
    while (this.arrived.delete(this.nextOffset)) this.nextOffset++
    return newBytes
  }

  /** Bytes readable in order: the offset that an acknowledgement must name. */
  get deliveredBytes(): number {
    return this.nextOffset
  }

  /** True when bytes beyond a hole have arrived. */
  get hasHole(): boolean {
    return this.arrived.size !== 0
  }
}
