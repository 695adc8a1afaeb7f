/** What can go wrong when a world is built: one error per thing that a caller can act on. */
import * as Schema from "effect/Schema"

const texts = {
  MemoryNotWholePages: (asked: number, limit: number) =>
    `${asked} bytes of memory are not whole pages of ${limit} bytes`,
  MemoryTooLarge: (asked: number, limit: number) => `${asked} bytes of memory are too many; ${limit} would do`,
  TooManyCpus: (asked: number, limit: number) => `${asked} CPUs where there can be 1 to ${limit}`,
  TooManyThreads: (asked: number, limit: number) => `${asked} threads a core where there can be 1 to ${limit}`
}

/** The options describe a host that the platform does not have. */
export class HostDoesNotFit extends Schema.TaggedError<HostDoesNotFit>()("HostDoesNotFit", {
  reason: Schema.Literals(["MemoryNotWholePages", "MemoryTooLarge", "TooManyCpus", "TooManyThreads"]),
  asked: Schema.Finite,
  /** Largest value that would do; the page size where memory is not whole pages. */
  limit: Schema.Finite
}) {
  override get message(): string {
    return texts[this.reason](this.asked, this.limit)
  }
}
