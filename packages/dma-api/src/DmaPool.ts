/** DMA pools as resources: a pool lives as long as its scope, and so does each of its blocks. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Core from "./core/index.ts"
import { Dma, type DmaDevice } from "./Dma.ts"
import { DmaMappingError, DmaPoolError } from "./Errors.ts"
import { giveBack } from "./Release.ts"

/** A block of a pool: as the CPU sees it, and as the device does. */
export interface PoolBlock {
  readonly phys: Core.PhysAddr
  readonly busAddr: Core.BusAddr
  readonly sizeBytes: number
}

export interface DmaPool {
  /** A block, all zeros, for as long as the scope lasts. */
  readonly alloc: Effect.Effect<PoolBlock, DmaMappingError, Scope.Scope>
  /** The same pool for hot loops and CPU programs. */
  readonly core: Core.DmaPool
}

/** The CPU that runs what is called through Effect. */
const CPU = 0

const allocFrom = (core: Core.DmaPool): DmaPool["alloc"] => {
  const { blockBytes: sizeBytes, device, name } = core
  const allocate = Effect.suspend(() => {
    const phys = core.dmaPoolZalloc(CPU)
    if (phys !== Core.POOL_NONE) return Effect.succeed({ phys, busAddr: core.busAddrs[CPU]!, sizeBytes })
    const reason = Core.MAP_FAILURES[device.failure[CPU]!] as DmaMappingError["reason"]
    const direction = Core.BIDIRECTIONAL
    return Effect.fail(
      new DmaMappingError({ device: device.name, phys, sizeBytes, direction, mapSite: `pool ${name}`, reason })
    )
  })
  return Effect.acquireRelease(allocate, ({ busAddr, phys }) => Effect.sync(() => core.dmaPoolFree(CPU, phys, busAddr)))
}

/** A pool of blocks for a device. It is destroyed when the scope closes, when all of its blocks must be free. */
export const makeDmaPool = Effect.fnUntraced(function* (device: DmaDevice, options: Core.DmaPoolOptions) {
  const dma = yield* Dma
  const create = Effect.suspend(() => {
    const core = dma.core.dmaPoolCreate(device.core, options)
    if (core !== undefined) return Effect.succeed(core)
    const { alignBytes = 0, boundaryBytes = 0, name, sizeBytes } = options
    return Effect.fail(new DmaPoolError({ device: device.core.name, name, sizeBytes, alignBytes, boundaryBytes }))
  })
  const core = yield* Effect.acquireRelease(create, (pool) => giveBack(device.core, () => pool.dmaPoolDestroy(CPU)))
  return { alloc: allocFrom(core), core } satisfies DmaPool
})
