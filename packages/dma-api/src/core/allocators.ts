/** The IOVA allocators by name. */
import type { IovaAllocator, IovaWindow } from "./iova/allocator.ts"
import { makeAugmentedRbtreeAllocator } from "./iova/augmentedRbtree.ts"
import { makeBitmapAllocator } from "./iova/bitmap.ts"
import { makeBitmapPoolAllocator } from "./iova/bitmapPool.ts"
import { makeIdentityAllocator } from "./iova/identity.ts"
import { makeMapleAllocator } from "./iova/maple.ts"
import { makeRbtreeAllocator } from "./iova/rbtree.ts"
import { makeRcacheAllocator } from "./iova/rcache.ts"
import { makeRingAllocator } from "./iova/ring.ts"

/** Makes an allocator; of those here only the bitmap may hold its lock across the table write. */
export type MakeAllocator = (window: IovaWindow) => IovaAllocator

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
