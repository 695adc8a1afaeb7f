/** What this package asks of its neighbours, and what its own parts ask of each other. */
import type { Frame } from "@vnic/sim/core"

/** The device's side of the link, declared by its caller. */
export interface Wire {
  /** The last bit of a frame reached the device now; the device owns the frame from here. */
  deliver(frame: Frame): void
  /** The receive queue that a TCP or UDP flow over IPv4 lands on (addresses as int32, network order). */
  receiveQueueOf(sourceIp: number, destinationIp: number, sourcePort: number, destinationPort: number): number
  /** The receive queue that this very frame lands on. */
  queueOfFrame(frame: Frame): number
}

/** A source has no frame now. */
export const FRAME_NONE: Frame = -1

/** Who sends toward the device. It kicks the link when it has a frame again after it had none. */
export interface FrameSource {
  /**
   * The frame that goes on the wire next, or FRAME_NONE. FREE_AT of the link's inbound times says when the
   * wire is free; a frame that must start later says so in NOT_BEFORE.
   */
  nextFrame(): Frame
  /** That frame's FIRST_BIT and LAST_BIT are known now. */
  frameTimed(frame: Frame): void
}

/** Who gets what the device sends. The link frees the frame afterwards. */
export interface LinkPeer {
  frameArrived(frame: Frame): void
}
