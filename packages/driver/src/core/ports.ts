/** What the driver needs of the world, declared here by the one who calls it. */
import type { Cpus, Memory, PageAllocator, PhysAddr, ProfileValues } from "@vnic/sim/core"
import type { Device } from "@vnic/dma-api/core"

/** The device's registers through its BAR. */
export interface RegisterWindow {
  /** A read, at once. Used while the device is brought up and shut down. */
  read(offset: number): number
  /** A write that has reached the device when it returns. Used likewise. */
  write(offset: number, value: number): void
  /** A posted write. It is held back, with others of its CPU, until `ring`. */
  post(cpu: number, offset: number, value: number): void
  /** Lets the CPU's posted writes go at its local time; they reach the device in order, a bus latency later. */
  ring(cpu: number): void
  /** Lets the world go on for a while, as a sleeping driver does. Only during bring-up. */
  delay(durationPs: number): void
}

/** The network stack above the driver. It books its own CPU time. */
export interface HostStack {
  /**
   * Takes a received frame, whose bytes stand in two pieces of host memory. Returns the length of a frame
   * to transmit in answer, which stands at `answerPhys[cpu]`, or 0. The pieces are the driver's again on return.
   */
  receive(
    cpu: number,
    queue: number,
    headPhys: PhysAddr,
    headBytes: number,
    bodyPhys: PhysAddr,
    bodyBytes: number
  ): number
  readonly answerPhys: Int32Array
  /** The driver has no more use for a frame that it was given to transmit. */
  transmitted(phys: PhysAddr): void
}

/** What driver work costs a CPU, picoseconds; from a platform profile. */
export interface DriverCosts {
  readonly interruptEntryPs: number
  readonly pollEntryPs: number
  readonly descriptorWorkPs: number
  readonly pageAllocationPs: number
  readonly mmioWritePs: number
  readonly copyCallPs: number
  readonly copyKiBPs: number
}

/** The world that the driver works in. */
export interface DriverWorld {
  readonly cpus: Cpus
  readonly memory: Memory
  readonly pages: PageAllocator
  readonly device: Device
  readonly registers: RegisterWindow
  readonly stack: HostStack
  readonly costs: DriverCosts
}

/** The driver's costs as a profile says. */
export const driverCostsOf = (profile: ProfileValues): DriverCosts => ({
  interruptEntryPs: profile.interruptEntry,
  pollEntryPs: profile.pollEntry,
  descriptorWorkPs: profile.descriptorWork,
  pageAllocationPs: profile.pageAllocation,
  mmioWritePs: profile.mmioWrite,
  copyCallPs: profile.copyCall,
  copyKiBPs: profile.copyKiB
})
