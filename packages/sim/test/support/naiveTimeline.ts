/** The oracle of the timeline: one unsorted list, searched for its least (time, source, serial). */
export interface Ran {
  readonly source: number
  readonly argument: number
  readonly atPs: number
}

interface Pending {
  readonly timePs: number
  readonly source: number
  readonly serial: number
  readonly argument: number
}

export class NaiveTimeline {
  nowPs = 0
  readonly ran: Array<Ran> = []
  private pendingEvents: Array<Pending> = []
  private nextSerial = 1

  push(source: number, timePs: number, argument: number): void {
    this.pendingEvents.push({ timePs, source, serial: this.nextSerial++, argument })
  }

  setTimer(source: number, timePs: number): void {
    this.clearTimer(source)
    this.push(source, timePs, source)
  }

  clearTimer(source: number): void {
    this.pendingEvents = this.pendingEvents.filter((event) => event.source !== source)
  }

  pending(source: number): number {
    return this.pendingEvents.filter((event) => event.source === source).length
  }

  nextOf(source: number): number {
    return Math.min(...this.pendingEvents.filter((event) => event.source === source).map((event) => event.timePs))
  }

  get nextDuePs(): number {
    return Math.min(...this.pendingEvents.map((event) => event.timePs))
  }

  runUntil(endPs: number, eventsMax: number): number {
    let count = 0
    for (; count < eventsMax; count++) {
      const [first] = this.pendingEvents.toSorted(
        (left, right) => left.timePs - right.timePs || left.source - right.source || left.serial - right.serial
      )
      if (first === undefined || first.timePs > endPs) {
        this.nowPs = endPs
        break
      }
      this.nowPs = first.timePs
      this.pendingEvents = this.pendingEvents.filter((event) => event !== first)
      this.ran.push({ source: first.source, argument: first.argument, atPs: this.nowPs })
    }
    return count
  }
}
