/** What the scopes of a device's mappings, blocks and pools end with. */
import * as Effect from "effect/Effect"
import type { Device } from "./core/index.ts"

/** Undoes what was done for a device. What one that is gone has left behind is a leak, and stays one. */
export const giveBack = (device: Device, undo: () => void): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!device.isReleased) undo()
  })
