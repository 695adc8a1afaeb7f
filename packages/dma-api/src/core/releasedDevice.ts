/** What a device is left with when it was released: whoever asks it for anything has a bug. */
import { fail } from "@vnic/sim/core"
import type { Backend, Calls } from "./backend.ts"

const broken = { get: () => fail("a device was used after its release") }

/** Both stand in for what every call needs, so that none has to look whether its device is still there. */
export const RELEASED_BACKEND: Backend = new Proxy({} as Backend, broken)
export const RELEASED_CALLS: Calls = new Proxy({} as Calls, broken)
