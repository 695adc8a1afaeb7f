/** A world with room for traffic, and nothing else in it. */
import { Simulation } from "@vnic/sim"
import { PROFILES, profileValues } from "@vnic/sim/core"
import { trafficOutsideBytes } from "@vnic/traffic/core"

export const layer = Simulation.layer({
  profile: profileValues(PROFILES[0]!),
  seed: 1,
  hostMemoryBytes: 1 << 20,
  outsideBytes: trafficOutsideBytes(undefined),
  frameCapacity: 1024,
  cpuCount: 1,
  threadsPerCore: 1
})
