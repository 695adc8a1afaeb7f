/**
 * How frames with a given time of sending get on the wire without an event of their own: the link is told
 * the time together with the frame, and only where the wire would stand long is it woken by a timer, so
 * that a source can be stopped in between.
 */
import type { Source, Timeline } from "@vnic/sim/core"
import type { Link } from "./link.ts"
import { FREE_AT, NOT_BEFORE } from "./medium.ts"

/** Farthest ahead of the wire that a frame is handed over, picoseconds: some frames. */
const LOOKAHEAD_PS = 20e6

export class Pacer {
  declare private readonly timeline: Timeline
  declare private readonly link: Link
  declare private readonly times: Float64Array
  declare private readonly timer: Source

  constructor(timeline: Timeline, link: Link) {
    this.timeline = timeline
    this.link = link
    this.times = link.inbound.state
    this.timer = timeline.addTimer("next scheduled frame", () => this.link.kick())
  }

  /** May the frame that is scheduled for schedulesPs[index] be handed over? Otherwise the link is woken then. */
  isDue(schedulesPs: Float64Array, index: number): boolean {
    const schedulePs = Math.ceil(schedulesPs[index]!)
    if (schedulePs - this.times[FREE_AT]! > LOOKAHEAD_PS) {
      this.timeline.setTimer(this.timer, schedulePs)
      return false
    }
    this.times[NOT_BEFORE] = schedulePs
    return true
  }

  stop(): void {
    this.timeline.clearTimer(this.timer)
  }
}
