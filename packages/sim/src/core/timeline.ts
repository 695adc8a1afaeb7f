/**
 * Virtual time and the events in it.
 *
 * Time is an integer number of picoseconds in a `number` (exact for 9,007 s). Every kind of event is a
 * *source*: a timer (one pending time) or a lane (any number up to its capacity). All pending events of the
 * world stand in one ring, sorted, and a new one enters it from the end that is nearer to its time, so that
 * it passes a few others; the next event of the world is simply the first. Events order by time, then
 * source: at one instant the source registered first goes first, inside a source first in is first out.
 *
 * Nothing is allocated per event. Handlers get one small argument and read the time from `clock`.
 */
import { assert, fail } from "./assert.ts"

/** What a source runs when one of its events is due; the argument is the one that was scheduled. */
export type Handler = (argument: number) => void

/** Index of a source in its timeline. */
export type Source = number

/** Longest that a run may plan to take: times are exact for 9,007 s, and a world comes up before and drains after. */
export const RUN_SECONDS_MAX = 9000

/** No event pending. */
export const NEVER_PS = Infinity

/** Most sources a timeline can have: 1,024 CPUs, their locks, and the lanes of a few devices. */
export const SOURCES_MAX = 4096

const ARGUMENT_BITS = 20
/** An event's argument is at least 0 and below this: with its source it fills 32 bits. */
export const ARGUMENT_LIMIT = 1 << ARGUMENT_BITS
const ARGUMENT_MASK = ARGUMENT_LIMIT - 1
/** Largest lane. */
const LANE_CAPACITY_MAX = 1 << 24
/** With so few events the back is never far. */
const NEAR_COUNT_MIN = 4
/** Slots of the ring to begin with; it grows when events stand everywhere. */
const SLOTS_FIRST = 64

export class Timeline {
  /** clock[0] is now, in picoseconds. A typed array, so that reading it never boxes. */
  readonly clock = new Float64Array(1)
  /** Events run since the beginning. */
  eventsRun = 0
  private readonly names: Array<string> = []
  private readonly handlers: Array<Handler> = []
  /** Events that each source may have pending, and has. */
  private readonly capacities = new Int32Array(SOURCES_MAX)
  private readonly counts = new Int32Array(SOURCES_MAX)
  private readonly timerArguments = new Int32Array(SOURCES_MAX)
  /** The ring of pending events, earliest first from slot `head` on: when, and source and argument in one. */
  private times = new Float64Array(SLOTS_FIRST)
  private events = new Int32Array(SLOTS_FIRST)
  private mask = SLOTS_FIRST - 1
  private head = 0
  private count = 0

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

  /** Throws what is wrong with an event of `source`. */
  private readonly failOf = (source: Source, text: string): never => fail(`${text}: ${this.names[source]!}`)

  /** Sets a timer's one pending time, replacing the one that it had. */
  readonly setTimer = (timer: Source, timePs: number): void => {
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

  /** Schedules `argument` on a lane at `timePs`. */
  readonly push = (source: Source, timePs: number, argument: number): void => {
    if (this.counts[source]! >= this.capacities[source]!) this.failOf(source, "a lane is full")
    this.insert(source, timePs, argument)
  }

  /** Puts an event where it belongs: behind those of its own time and an earlier source, or its own. */
  private readonly insert = (source: Source, timePs: number, argument: number): void => {
    if (!(timePs >= this.clock[0]!)) this.failOf(source, "an event was scheduled into the past")
    if (argument >>> ARGUMENT_BITS !== 0) this.failOf(source, "an event's argument is out of range")
    if (this.count > this.mask) this.grow()
    const { count, head, mask } = this
    // From the end that is nearer: interrupts are throttled far ahead, most else happens close by.
    const isNear = count >= NEAR_COUNT_MIN && timePs < this.times[(head + (count >> 1)) & mask]!
    const slot = isNear ? this.openFromFront(source, timePs) : this.openFromBack(source, timePs)
    this.times[slot] = timePs
    this.events[slot] = (source << ARGUMENT_BITS) | argument
    this.count = (count + 1) | 0
    this.counts[source]!++
  }

  /** Moves what is due later one place on; returns the slot that is free then. */
  private readonly openFromBack = (source: Source, timePs: number): number => {
    const { events, head, mask, times } = this
    let index = (head + this.count) | 0
    while (index > head) {
      const from = (index - 1) & mask
      const fromPs = times[from]!
      if (fromPs <= timePs && (fromPs < timePs || events[from]! >>> ARGUMENT_BITS <= source)) break
      times[index & mask] = fromPs
      events[index & mask] = events[from]!
      index = (index - 1) | 0
    }
    return index & mask
  }

  /** Moves what is due earlier one place back, the head with it; returns the slot that is free then. */
  private readonly openFromFront = (source: Source, timePs: number): number => {
    const { events, mask, times } = this
    let slot = (this.head - 1) & mask
    this.head = slot
    for (;;) {
      const from = (slot + 1) & mask
      const fromPs = times[from]!
      if (fromPs >= timePs && (fromPs > timePs || events[from]! >>> ARGUMENT_BITS > source)) return slot
      times[slot] = fromPs
      events[slot] = events[from]!
      slot = from
    }
  }

  private readonly grow = (): void => {
    const { count, events, head, mask, times } = this
    const slots = 2 * (mask + 1)
    this.times = new Float64Array(slots)
    this.events = new Int32Array(slots)
    for (let index = 0; index < count; index++) {
      const from = (head + index) & mask
      this.times[index] = times[from]!
      this.events[index] = events[from]!
    }
    this.head = 0
    this.mask = slots - 1
  }

  /** Place in the ring of a source's first event; it must have one. */
  private readonly indexOf = (source: Source): number => {
    const { events, head, mask } = this
    let index = 0
    while (events[(head + index) & mask]! >>> ARGUMENT_BITS !== source) index++
    return index
  }

  /** Takes an event out; those behind it move up. */
  private readonly removeAt = (index: number): void => {
    const { events, head, mask, times } = this
    this.counts[events[(head + index) & mask]! >>> ARGUMENT_BITS]!--
    for (let later = index + 1; later < this.count; later++) {
      const from = (head + later) & mask
      const to = (head + later - 1) & mask
      times[to] = times[from]!
      events[to] = events[from]!
    }
    this.count--
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
      const event = this.events[slot]!
      const source = event >>> ARGUMENT_BITS
      counts[source]!--
      this.head = (slot + 1) & this.mask
      this.count = (this.count - 1) | 0
      handlers[source]!(event & ARGUMENT_MASK)
    }
    this.eventsRun += count
    return count
  }
}

/** An empty timeline at time 0. */
export const makeTimeline = (): Timeline => new Timeline()
