/** What can go wrong before traffic runs: one error per thing that a caller can act on. */
import * as Schema from "effect/Schema"

/** A capture cannot be replayed. Offset and record say where, `expected` says what would do. */
export class CaptureInvalid extends Schema.TaggedError<CaptureInvalid>()("CaptureInvalid", {
  file: Schema.String,
  reason: Schema.Literals([
    "TooShort",
    "NotPcap",
    "PcapNg",
    "Compressed",
    "Version",
    "NotEthernet",
    "HasCheckSequences",
    "Truncated",
    "RecordTooLong",
    "FrameTooShort",
    "FrameTooLong",
    "BadStamp",
    "TooLongSpan",
    "Empty"
  ]),
  /** Byte in the file. */
  offset: Schema.Finite,
  /** Counted from 1; 0 for the file's header. */
  record: Schema.Finite,
  found: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    const where = this.record === 0 ? `byte ${this.offset}` : `byte ${this.offset}, record ${this.record}`
    return `${this.file}: ${where}: ${this.found}; expected ${this.expected}`
  }
}

const texts = {
  FrameTooShort: (asked: number, limit: number) => `frames of ${asked} bytes hold no payload; ${limit} would do`,
  FrameTooLong: (asked: number, limit: number) => `frames of ${asked} bytes do not fit the MTU; ${limit} would do`,
  WindowTooSmall: (asked: number, limit: number) => `a window of ${asked} bytes holds no segment; ${limit} would do`,
  WindowTooLarge: (asked: number, limit: number) =>
    `a window of ${asked} bytes is too large for so many streams; ${limit} would do`,
  ReplayTooLong: (asked: number, limit: number) => `the replay takes ${Math.ceil(asked)} s; ${limit} s would do`,
  PlacementImpossible: (asked: number, limit: number) =>
    `the device's hash cannot spread ${asked} flows evenly over ${limit} queues; random placement would do`
}

/** The options contradict each other. */
export class TrafficDoesNotFit extends Schema.TaggedError<TrafficDoesNotFit>()("TrafficDoesNotFit", {
  reason: Schema.Literals([
    "FrameTooShort",
    "FrameTooLong",
    "WindowTooSmall",
    "WindowTooLarge",
    "PlacementImpossible",
    "ReplayTooLong"
  ]),
  asked: Schema.Finite,
  /** What would do; the number of queues where placement is impossible. */
  limit: Schema.Finite
}) {
  override get message(): string {
    return texts[this.reason](this.asked, this.limit)
  }
}
