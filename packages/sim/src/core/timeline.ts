/**
 * Virtual time and the events in it.
 *
 * Time is an integer number of picoseconds in a `number` (exact for 9,007 s). Every kind of event is a
 * *source*: a timer (one pending time) or a lane (any number up to its capacity). All pending events of the
 * world stand in one ring, sorted, and a new one enters it from the end that is nearer to its time, so that
 * it passes a few others; the next event of the world is simply the first. Events order by (time, source,
 * serial): at one instant the source registered first goes first, inside a source first in is first out.
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

/** Most sources a timeline can have: 1,024 CPUs, their locks, and the lanes of a few devices. */
export const SOURCES_MAX = 4096

/** Largest lane. */
const LANE_CAPACITY_MAX = 1 << 24
/** With so few events the back is never far. */
const NEAR_COUNT_MIN = 16
/** Slots of the ring to begin with; it grows when events stand everywhere. */
const SLOTS_FIRST = 64

export class Timeline {
  /** clock[0] is now, in picoseconds. A typed array, so that reading it never boxes. */
  readonly clock = new Float64Array(1)
  /** Events run since the beginning. */
  eventsRun = 0
  readonly names: Array<string> = []
  private readonly handlers: Array<Handler> = []
  /** Events that each source may have pending, and has. */
  private readonly capacities = new Int32Array(SOURCES_MAX)
  private readonly counts = new Int32Array(SOURCES_MAX)
  private readonly timerArguments = new Int32Array(SOURCES_MAX)
  /** The ring of pending events, earliest first from slot `head` on. */
  private times = new Float64Array(SLOTS_FIRST)
  private sources = new Int32Array(SLOTS_FIRST)
  private eventArguments = new Int32Array(SLOTS_FIRST)
  private serials = new Int32Array(SLOTS_FIRST)
  private mask = SLOTS_FIRST - 1
  private head = 0
  private count = 0
  private nextSerial = 1

  /** Now, in picoseconds. */
  get nowPs(): number {
    return this.clock[0]!
  }

  /** A source with at most one pending event; `argument` is what its handler gets. */
  readonly addTimer = (name: string, handler: Handler, argument = 0): Source => {
    const source = this.addSource(name, handler, 1)
    this.timerArguments[source] = argument
    return source
  }

  /** A source that holds up to `capacity` pending events in time order. */
  readonly addLane = (name: string, handler: Handler, capacity: number): Source => {
    assert(capacity > 0 && capacity <= LANE_CAPACITY_MAX, "lane capacity out of range")
    return this.addSource(name, handler, capacity)
  }

  private readonly addSource = (name: string, handler: Handler, capacity: number): Source => {
    const source = this.handlers.length
    assert(source < SOURCES_MAX, "too many event sources")
    this.names.push(name)
    this.handlers.push(handler)
    this.capacities[source] = capacity
    return source
  }

  /** Sets a timer's one pending time, replacing the one that it had. */
  readonly setTimer = (timer: Source, timePs: number): void => {
    if (!(timePs >= this.clock[0]!)) fail("a timer was set into the past")
    if (this.counts[timer] !== 0) this.removeAt(this.indexOf(timer))
    this.insert(timer, timePs, this.timerArguments[timer]!)
  }

  /** Nothing pending on this timer any more. */
  readonly clearTimer = (timer: Source): void => {
    if (this.counts[timer] !== 0) this.removeAt(this.indexOf(timer))
  }

  /** When this source's next event is due, or NEVER_PS. */
  readonly nextOf = (source: Source): number => {
    return this.counts[source] === 0 ? NEVER_PS : this.times[(this.head + this.indexOf(source)) & this.mask]!
  }

  /** When the world's next event is due, or NEVER_PS. */
  get nextDuePs(): number {
    return this.count === 0 ? NEVER_PS : this.times[this.head]!
  }

  /** Schedules `argument` on a lane at `timePs`. Returns a serial by which it can be cancelled. */
  readonly push = (source: Source, timePs: number, argument: number): number => {
    if (!(timePs >= this.clock[0]!)) fail("an event was scheduled into the past")
    if (this.counts[source]! >= this.capacities[source]!) fail("a lane is full")
    return this.insert(source, timePs, argument)
  }

  /** Puts an event where it belongs: behind those of its own time and an earlier source, or its own. */
  private readonly insert = (source: Source, timePs: number, argument: number): number => {
    if (this.count > this.mask) this.grow()
    const { count, head, mask, times } = this
    // From the end that is nearer: CPUs schedule far ahead, the wire and the bus close by.
    const isNear = count > NEAR_COUNT_MIN && timePs < times[(head + (count >> 1)) & mask]!
    const slot = isNear ? this.openFromFront(source, timePs) : this.openFromBack(source, timePs)
    const serial = this.nextSerial
    this.nextSerial = (serial + 1) | 0
    times[slot] = timePs
    this.sources[slot] = source
    this.eventArguments[slot] = argument
    this.serials[slot] = serial
    this.count = count + 1
    this.counts[source]!++
    return serial
  }

  /** Moves what is due later one place on; returns the slot that is free then. */
  private readonly openFromBack = (source: Source, timePs: number): number => {
    const { head, mask, sources, times } = this
    let index = head + this.count
    while (index > head) {
      const from = (index - 1) & mask
      const fromPs = times[from]!
      if (fromPs < timePs || (fromPs === timePs && sources[from]! <= source)) break
      this.move(from, index & mask)
      index--
    }
    return index & mask
  }

  /** Moves what is due earlier one place back, the head with it; returns the slot that is free then. */
  private readonly openFromFront = (source: Source, timePs: number): number => {
    const { mask, sources, times } = this
    let slot = this.head
    for (;;) {
      const slotPs = times[slot]!
      if (slotPs > timePs || (slotPs === timePs && sources[slot]! > source)) break
      this.move(slot, (slot - 1) & mask)
      slot = (slot + 1) & mask
    }
    this.head = (this.head - 1) & mask
    return (slot - 1) & mask
  }

  private readonly move = (from: number, to: number): void => {
    this.times[to] = this.times[from]!
    this.sources[to] = this.sources[from]!
    this.eventArguments[to] = this.eventArguments[from]!
    this.serials[to] = this.serials[from]!
  }

  private readonly grow = (): void => {
    const { count, eventArguments, head, mask, serials, sources, times } = this
    const slots = 2 * (mask + 1)
    this.times = new Float64Array(slots)
    this.sources = new Int32Array(slots)
    this.eventArguments = new Int32Array(slots)
    this.serials = new Int32Array(slots)
    for (let index = 0; index < count; index++) {
      const from = (head + index) & mask
      this.times[index] = times[from]!
      this.sources[index] = sources[from]!
      this.eventArguments[index] = eventArguments[from]!
      this.serials[index] = serials[from]!
    }
    this.head = 0
    this.mask = slots - 1
  }

  /** Place in the ring of a source's first event; it must have one. */
  private readonly indexOf = (source: Source): number => {
    const { head, mask, sources } = this
    let index = 0
    while (sources[(head + index) & mask] !== source) index++
    return index
  }

  /** Takes an event out; those behind it move up. */
  private readonly removeAt = (index: number): void => {
    const { eventArguments, head, mask, serials, sources, times } = this
    this.counts[sources[(head + index) & mask]!]!--
    for (let later = index + 1; later < this.count; later++) {
      const from = (head + later) & mask
      const to = (head + later - 1) & mask
      times[to] = times[from]!
      sources[to] = sources[from]!
      eventArguments[to] = eventArguments[from]!
      serials[to] = serials[from]!
    }
    this.count--
  }

  /** Takes the event with this serial out of its lane; false when it has run or was cancelled. */
  readonly cancel = (source: Source, serial: number): boolean => {
    for (let index = 0; index < this.count; index++) {
      const slot = (this.head + index) & this.mask
      if (this.sources[slot] !== source || this.serials[slot] !== serial) continue
      this.removeAt(index)
      return true
    }
    return false
  }

  /** Pending events of a source. */
  readonly pending = (source: Source): number => {
    return this.counts[source]!
  }

  /**
   * Runs events due up to and including `endPs`, at most `eventsMax` of them, and returns how many ran.
   * When it returns less than `eventsMax`, all of them have run, and now is `endPs`; with NEVER_PS as the
   * end, now is the time of the last event.
   */
  readonly runUntil = (endPs: number, eventsMax: number): number => {
    const { clock, counts, handlers } = this
    if (!(endPs >= clock[0]!)) fail("a run was to end in the past")
    let count = 0
    while (count < eventsMax) {
      const slot = this.head
      const timePs = this.times[slot]!
      if (this.count === 0 || timePs > endPs) {
        if (endPs !== NEVER_PS) clock[0] = endPs
        break
      }
      clock[0] = timePs
      count++
      const source = this.sources[slot]!
      const argument = this.eventArguments[slot]!
      counts[source]!--
      this.head = (slot + 1) & this.mask
      this.count--
      handlers[source]!(argument)
    }
    this.eventsRun += count
    return count
  }
}

/** An empty timeline at time 0. */
export const makeTimeline = (): Timeline => new Timeline()
