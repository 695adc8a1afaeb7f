/** Prints what an I/O costs with each IOVA allocator. */
import { ALLOCATOR_NAMES } from "@vnic/dma-api/core"
import { run } from "./run.ts"

console.log("allocator         I/O per s   CPU ns/I/O   IOVA   hypercalls   locks")
for (const allocator of ALLOCATOR_NAMES) {
  const { cpuNs, hypercallNs, iovaNs, lockNs, perSecond } = run(allocator, 20)
  const columns = [perSecond, cpuNs, iovaNs, hypercallNs, lockNs]
  const cells = columns.map((value, at) => value.toFixed(0).padStart([11, 13, 7, 13, 8][at]!))
  console.log(allocator.padEnd(16) + cells.join(""))
}
