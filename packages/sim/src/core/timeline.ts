/**
 * Virtual time and the events in it.
 *
 * Time is an integer number of picoseconds in a `number` (exact for 9,007 s). Every kind of event is a
 * *source*: a timer (one pending time) or a lane (a FIFO that is kept sorted from its back, so that
 * events of one kind with a constant delay never sift). The next event of the whole world is the winner
 * of a tournament between the sources' earliest times. Events order by (time, source, serial): at one
 * instant the source registered first goes first, inside a lane first in is first out.
 *
 * Nothing is allocated per event. Handlers get one int32 argument and read the time from `clock`.
 */
import { assert, fail } from "./assert.ts"

/** What a source runs when one of its events is due; the argument is the one that was scheduled. */
export type Handler = (argument: number) => void

/** Index of a source in its timeline. */
export type Source = number

/** No event pending. */
export const NEVER_PS = Infinity

/** No source's handler runs. */
const NONE: Source = -1

/** Most sources a timeline can have: 1,024 CPUs, their locks, and the lanes of a few devices. */
export const SOURCES_MAX = 4096

/** One FIFO of events, sorted by time; `head` is the earliest. */
interface Lane {
  times: Float64Array
  argument: Int32Array
  serial: Int32Array
  mask: number
  head: number
  count: number
}

export class Timeline {
  /** clock[0] is now, in picoseconds. A typed array, so that reading it never boxes. */
  readonly clock = new Float64Array(1)
  /** Events run since the beginning. */
  eventsRun = 0
  readonly names: Array<string> = []
  private readonly handlers: Array<Handler> = []
  private readonly lanes: Array<Lane | undefined> = []
  private readonly timerArgument: Array<number> = []
  /** Earliest pending time of each source. */
  private due = new Float64Array(16).fill(NEVER_PS)
  /** tree[1] is the source with the earliest time; leaves sit at leafCount + source, one for each source. */
  private tree = new Int32Array(32)
  private leafCount = 0
  /**
   * The source whose handler runs. Its matches are played once, when the handler returns or somebody asks,
   * since most handlers schedule their own source's next event.
   */
  private running: Source = NONE
  private nextSerial = 1

  /** Now, in picoseconds. */
  get nowPs(): number {
    return this.clock[0]!
  }

  /** A source with at most one pending event; `argument` is what its handler gets. */
  addTimer(name: string, handler: Handler, argument = 0): Source {
    return this.addSource(name, handler, undefined, argument)
  }

  /** A source that holds up to `capacity` pending events in time order. */
  addLane(name: string, handler: Handler, capacity: number): Source {
    assert(capacity > 0 && capacity <= 1 << 24, "lane capacity out of range")
    let slots = 1
    while (slots < capacity) slots *= 2
    const lane: Lane = {
      times: new Float64Array(slots),
      argument: new Int32Array(slots),
      serial: new Int32Array(slots),
      mask: slots - 1,
      head: 0,
      count: 0
    }
    return this.addSource(name, handler, lane, 0)
  }

  private addSource(name: string, handler: Handler, lane: Lane | undefined, argument: number): Source {
    const source = this.handlers.length
    assert(source < SOURCES_MAX, "too many event sources")
    this.names.push(name)
    this.handlers.push(handler)
    this.lanes.push(lane)
    this.timerArgument.push(argument)
    if (source >= this.due.length) {
      const due = new Float64Array(2 * this.due.length).fill(NEVER_PS)
      due.set(this.due)
      this.due = due
      this.tree = new Int32Array(2 * due.length)
    }
    this.leafCount = source + 1
    this.rebuild()
    return source
  }

  /** Plays all matches anew. Of two sources with the same time the one registered first wins. */
  private rebuild(): void {
    const { due, leafCount, tree } = this
    for (let leaf = 0; leaf < leafCount; leaf++) tree[leafCount + leaf] = leaf
    for (let node = leafCount - 1; node >= 1; node--) {
      const left = tree[2 * node]!
      const right = tree[2 * node + 1]!
      const leftDuePs = due[left]!
      const rightDuePs = due[right]!
      tree[node] = leftDuePs < rightDuePs || (leftDuePs === rightDuePs && left < right) ? left : right
    }
  }

  /**
   * Plays `source`'s matches from its leaf up to the root after its time changed. Stops early where somebody
   * else wins who had won before: above that nothing can have changed.
   */
  private update(source: Source): void {
    const tree = this.tree
    const due = this.due
    let winner = source
    let winnerDuePs = due[source]!
    let node = this.leafCount + source
    while (node > 1) {
      const rival = tree[node ^ 1]!
      const rivalDuePs = due[rival]!
      if (rivalDuePs <= winnerDuePs && (rivalDuePs < winnerDuePs || rival < winner)) {
        winner = rival
        winnerDuePs = rivalDuePs
      }
      node >>= 1
      if (winner !== source && tree[node] === winner) return
      tree[node] = winner
    }
  }

  /** Plays the matches that the running source still has to play. */
  private settle(): void {
    const source = this.running
    if (source === NONE) return
    this.running = NONE
    this.update(source)
  }

  /** Sets a timer's one pending time, replacing the one that it had. */
  setTimer(timer: Source, timePs: number): void {
    if (!(timePs >= this.clock[0]!)) fail("a timer was set into the past")
    this.due[timer] = timePs
    if (timer !== this.running) this.update(timer)
  }

  /** Nothing pending on this timer any more. */
  clearTimer(timer: Source): void {
    this.due[timer] = NEVER_PS
    if (timer !== this.running) this.update(timer)
  }

  /** When this source's next event is due, or NEVER_PS. */
  nextOf(source: Source): number {
    return this.due[source]!
  }

  /** When the world's next event is due, or NEVER_PS. */
  get nextDuePs(): number {
    this.settle()
    return this.due[this.tree[1]!]!
  }

  /** Schedules `argument` on a lane at `timePs`. Returns a serial by which it can be cancelled. */
  push(source: Source, timePs: number, argument: number): number {
    const lane = this.lanes[source]!
    if (!(timePs >= this.clock[0]!)) fail("an event was scheduled into the past")
    const { mask, times } = lane
    const head = lane.head
    if (lane.count > mask) fail("a lane is full")
    let index = head + lane.count
    // Sorted from the back: a later event of the same time stays behind (first in, first out).
    while (index > head && times[(index - 1) & mask]! > timePs) {
      const from = (index - 1) & mask
      const to = index & mask
      times[to] = times[from]!
      lane.argument[to] = lane.argument[from]!
      lane.serial[to] = lane.serial[from]!
      index--
    }
    const slot = index & mask
    const serial = this.nextSerial
    this.nextSerial = (serial + 1) | 0
    times[slot] = timePs
    lane.argument[slot] = argument
    lane.serial[slot] = serial
    lane.count++
    if (index === head) {
      this.due[source] = timePs
      if (source !== this.running) this.update(source)
    }
    return serial
  }

  /** Takes the event with this serial out of its lane; false when it has run or was cancelled. */
  cancel(source: Source, serial: number): boolean {
    const lane = this.lanes[source]!
    const { mask } = lane
    for (let index = 0; index < lane.count; index++) {
      if (lane.serial[(lane.head + index) & mask] !== serial) continue
      for (let later = index + 1; later < lane.count; later++) {
        const from = (lane.head + later) & mask
        const to = (lane.head + later - 1) & mask
        lane.times[to] = lane.times[from]!
        lane.argument[to] = lane.argument[from]!
        lane.serial[to] = lane.serial[from]!
      }
      lane.count--
      this.due[source] = lane.count > 0 ? lane.times[lane.head & mask]! : NEVER_PS
      if (source !== this.running) this.update(source)
      return true
    }
    return false
  }

  /** Pending events of a source. */
  pending(source: Source): number {
    const lane = this.lanes[source]
    if (lane !== undefined) return lane.count
    return this.due[source] === NEVER_PS ? 0 : 1
  }

  /**
   * Runs events due up to and including `endPs`, at most `eventsMax` of them, and returns how many ran.
   * When it returns less than `eventsMax`, all of them have run, and now is `endPs`; with NEVER_PS as the
   * end, now is the time of the last event.
   */
  runUntil(endPs: number, eventsMax: number): number {
    const clock = this.clock
    const lanes = this.lanes
    const handlers = this.handlers
    if (!(endPs >= clock[0]!)) fail("a run was to end in the past")
    // A handler may run the world on (or have thrown): its own source is up to date first.
    this.settle()
    let count = 0
    while (count < eventsMax) {
      // Read anew each time: a handler may add sources, and the arrays grow.
      const due = this.due
      const source = this.tree[1]!
      const timePs = due[source]!
      if (timePs > endPs || timePs === NEVER_PS) {
        if (endPs !== NEVER_PS) clock[0] = endPs
        break
      }
      clock[0] = timePs
      count++
      const lane = lanes[source]
      let argument: number
      if (lane === undefined) {
        argument = this.timerArgument[source]!
        due[source] = NEVER_PS
      } else {
        const slot = lane.head & lane.mask
        argument = lane.argument[slot]!
        lane.head = (lane.head + 1) & lane.mask
        lane.count--
        due[source] = lane.count > 0 ? lane.times[lane.head]! : NEVER_PS
      }
      this.running = source
      handlers[source]!(argument)
      this.settle()
    }
    this.eventsRun += count
    return count
  }
}

/** An empty timeline at time 0. */
export const makeTimeline = (): Timeline => new Timeline()
