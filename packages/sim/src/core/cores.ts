/** Cores of a host, whose threads are its CPUs: neighbours in number, on no core two more than on another. */

/** The core that a CPU is a thread of. */
export const coreOf = (cpu: number, cpuCount: number, coreCount: number): number =>
  Math.floor((cpu * coreCount) / cpuCount)

/** CPUs in the order in which work is given to them: one of each core before any core gets a second. */
export const spreadOverCores = (cpuCount: number, coreCount: number): ReadonlyArray<number> => {
  const threadOf = (cpu: number): number => cpu - Math.ceil((coreOf(cpu, cpuCount, coreCount) * cpuCount) / coreCount)
  return Array.from({ length: cpuCount }, (_, cpu) => cpu).toSorted((one, other) => threadOf(one) - threadOf(other))
}
