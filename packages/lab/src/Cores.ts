/** Cores of a host, and which of its CPUs are used first. */

/** Threads of a core that are used for so many CPUs: one of each, as long as there are cores. */
export const threadsPerCoreOf = (cpuCount: number, coreCount: number): number => Math.ceil(cpuCount / coreCount)

/**
 * CPUs in the order in which work is given to them: one of each core first. CPU n is on core n / threadsPerCore.
 */
export const spreadOverCores = (coreCount: number, threadsPerCore: number): ReadonlyArray<number> =>
  Array.from(
    { length: coreCount * threadsPerCore },
    (_, index) => (index % coreCount) * threadsPerCore + Math.floor(index / coreCount)
  )
