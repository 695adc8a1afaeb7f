/** What a device is left with when it was released: whoever asks it for anything has a bug. */
import { fail } from "@vnic/sim/core"
import type { Backend, Calls } from "./backend.ts"

export const USED_AFTER_RELEASE = "a device was used after its release"

const broken = { get: () => fail(USED_AFTER_RELEASE) }

/** Both stand in for what every call needs, so that none has to look whether its device is still there. */
export const RELEASED_BACKEND: Backend = new Proxy({} as Backend, broken)
export const RELEASED_CALLS: Calls = new Proxy({} as Calls, broken)
