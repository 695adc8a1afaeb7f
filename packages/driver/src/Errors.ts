/** What an operator of the driver can act on. */
import * as Schema from "effect/Schema"

/** The device did not come up (or would not stop): a register never showed what it must. */
export class BringUpFailed extends Schema.TaggedError<BringUpFailed>()("BringUpFailed", {
  device: Schema.String,
  step: Schema.String,
  register: Schema.String,
  waitedPs: Schema.Finite
}) {
  override get message(): string {
    return `${this.device}: ${this.step}: ${this.register} did not change within ${this.waitedPs / 1e9} ms`
  }
}

/** There is no memory, or no room in the DMA address space, for the rings. */
export class NoRingMemory extends Schema.TaggedError<NoRingMemory>()("NoRingMemory", {
  device: Schema.String,
  sizeBytes: Schema.Finite
}) {
  override get message(): string {
    const advice = "give the host more memory or use smaller rings"
    return `${this.device}: no coherent memory for a ring of ${this.sizeBytes} bytes; ${advice}`
  }
}
