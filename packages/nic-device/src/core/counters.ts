/** What the device has counted, as plain data. */
import type { NicDevice } from "./nicDevice.ts"
import { DROP_CAUSES, type DropCause } from "./statistics.ts"
import * as Layout from "./layout.ts"

// Imported names cost a load and a check at each use; the hot path has its own.
const { UP, DOWN } = Layout

/** Counts since the device was made; nothing clears them. */
export interface DeviceCounters {
  readonly rx: {
    /** Frames that came in. */
    readonly arrived: number
    /** Frames whose last descriptor was written back. */
    readonly delivered: number
    readonly deliveredByQueue: ReadonlyArray<number>
    /** Frames in the packet buffer or on their way to memory. */
    readonly inFlight: number
    readonly dropped: Readonly<Record<DropCause, number>>
    readonly padded: number
    readonly packetBufferBytesMax: number
    readonly descriptorFetches: number
  }
  readonly tx: {
    /** Frames handed to the link. */
    readonly sent: number
    readonly sentByQueue: ReadonlyArray<number>
    readonly padded: number
    readonly malformed: number
    readonly faulted: number
    readonly descriptorFetches: number
  }
  readonly interruptsRaised: number
  /** Taken time and bytes of the bus: up from the device to the host, down the other way. */
  readonly bus: {
    readonly upBusyPs: number
    readonly downBusyPs: number
    readonly upBytes: number
    readonly downBytes: number
  }
  readonly unlistedRegisterAccesses: number
}

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0)

/** The counts of a device as they stand. */
export function snapshot(device: NicDevice): DeviceCounters {
  const { rx, tx, bus, statistics } = device
  const delivered = rx.counts.framesSum
  const dropped = Object.fromEntries(DROP_CAUSES.map((cause, index) => [cause, statistics.drops[index]!])) as Record<
    DropCause,
    number
  >
  return {
    rx: {
      arrived: device.arrived,
      delivered,
      deliveredByQueue: Array.from(rx.counts.frames),
      inFlight: device.arrived - delivered - sum(statistics.drops),
      dropped,
      padded: device.mac.padded,
      packetBufferBytesMax: rx.buffer.usedBytesMax,
      descriptorFetches: rx.rings.fetches
    },
    tx: {
      sent: tx.counts.framesSum,
      sentByQueue: Array.from(tx.counts.frames),
      padded: tx.padded,
      malformed: tx.malformed,
      faulted: tx.faulted,
      descriptorFetches: tx.rings.fetches
    },
    interruptsRaised: device.interrupts.raised,
    bus: {
      upBusyPs: bus.busyPs[UP]!,
      downBusyPs: bus.busyPs[DOWN]!,
      upBytes: bus.bytes[UP]!,
      downBytes: bus.bytes[DOWN]!
    },
    unlistedRegisterAccesses: device.registers.unlistedAccesses
  }
}
