import { makeSimulation, PROFILES, profileValues, type SimulationCore, type SimulationOptions } from "../core/index.ts"

const MIB = 1024 * 1024

/**
 * A world with one CPU and little memory: with one CPU nothing ever waits, so that operations can be called
 * at once (`cpus.runAlone`), and it is made in well under a millisecond.
 */
export const soloWorld = (changes: Partial<SimulationOptions> = {}): SimulationCore =>
  makeSimulation({
    profile: profileValues(PROFILES[0]!),
    seed: 1,
    hostMemoryBytes: 4 * MIB,
    outsideBytes: MIB,
    frameCapacity: 64,
    cpuCount: 1,
    threadsPerCore: 1,
    ...changes
  })
