/** The IOVA allocators by name. */
import type { IovaAllocator, IovaWindow } from "./iova/allocator.ts"
import { makeAugmentedRbtreeAllocator } from "./iova/augmentedRbtree.ts"
import { makeBitmapAllocator } from "./iova/bitmap.ts"
import { makeBitmapPoolAllocator } from "./iova/bitmapPool.ts"
import { makeIdentityAllocator } from "./iova/identity.ts"
import { makeMapleAllocator } from "./iova/maple.ts"
import type { LockAcrossTableWrite } from "./iova/oneLock.ts"
import { makeRbtreeAllocator } from "./iova/rbtree.ts"
import { makeRcacheAllocator } from "./iova/rcache.ts"
import { makeRingAllocator } from "./iova/ring.ts"

/** Makes an allocator; only the bitmap may hold its lock across the table write, the others never do. */
export type MakeAllocator = (window: IovaWindow, lockAcrossTableWrite: LockAcrossTableWrite) => IovaAllocator

export const ALLOCATORS = {
  identity: makeIdentityAllocator,
  bitmap: makeBitmapAllocator,
  "bitmap-pool": (window) => makeBitmapPoolAllocator(window),
  rbtree: makeRbtreeAllocator,
  "rbtree-rcache": (window) => makeRcacheAllocator(window, { depot: "trimmed" }),
  "augmented-rbtree": makeAugmentedRbtreeAllocator,
  maple: makeMapleAllocator,
  ring: makeRingAllocator
} as const satisfies Record<string, MakeAllocator>
export type AllocatorName = keyof typeof ALLOCATORS
export const ALLOCATOR_NAMES = Object.keys(ALLOCATORS) as ReadonlyArray<AllocatorName>
