/** The lines of the study: on which machine, with which table, allocator and flush. */
import type { DmaOptions } from "@vnic/dma-api"

/** One curve of a chart. */
export interface Line {
  readonly name: string
  readonly about: string
  /** The platform that the line is about. */
  readonly profile: string
  /** Whether the line means this platform only. */
  readonly isBound: boolean
  /** Through the DMA API, by the table alone, or without an IOMMU. */
  readonly path: "dma" | "table" | "direct"
  readonly allocator: DmaOptions["allocator"]
  readonly lockAcrossTableWrite: DmaOptions["lockAcrossTableWrite"]
  readonly flush: DmaOptions["flush"]
}

const POWER7 = "power7-pseries"
const SANDY_BRIDGE = "x86-sandybridge"

const line = (name: string, about: string, parts: Partial<Line> = {}): Line => ({
  name,
  about,
  profile: POWER7,
  isBound: false,
  path: "dma",
  allocator: "bitmap",
  lockAcrossTableWrite: "none",
  flush: "strict",
  ...parts
})

/** Every line, in the order of the charts. */
export const LINES: ReadonlyArray<Line> = [
  line("direct", "direct DMA: an offset is added, nothing is undone", { path: "direct" }),
  line("iommu-only", "the table operation alone, without the DMA API", { path: "table" }),
  line("identity", "the address is the buffer's own: direct DMA with an IOMMU", { allocator: "identity" }),
  line("bitmap", "one lock, held across the hypercall", { lockAcrossTableWrite: "both" }),
  line("bitmap-outside", "one lock, the hypercall outside of it"),
  line("bitmap-pool", "four pools and a large one, a lock each", { allocator: "bitmap-pool" }),
  line("rbtree", "the tree of 2013", { allocator: "rbtree" }),
  line("rbtree-rcache", "today's tree behind magazines", { allocator: "rbtree-rcache" }),
  line("augmented-rbtree", "a tree that knows its largest gaps", { allocator: "augmented-rbtree" }),
  line("maple", "a B-tree with wide nodes", { allocator: "maple" }),
  line("ring", "made for first in, first out", { allocator: "ring" }),
  line("rbtree-x86", "the tree of 2013 on VT-d, strict", {
    profile: SANDY_BRIDGE,
    isBound: true,
    allocator: "rbtree"
  }),
  line("rbtree-x86-lazy", "the tree of 2013 on VT-d, one lazy list", {
    profile: SANDY_BRIDGE,
    isBound: true,
    allocator: "rbtree",
    flush: "lazy-global"
  })
]
