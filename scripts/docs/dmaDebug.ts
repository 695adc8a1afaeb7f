/** What DMA debug checks, as a page. */
import { DEBUG_CHECKS, type DebugCheck } from "@vnic/dma-api/core"
import { capitalized, code, type Page, page, table } from "./page.ts"

const ABOUT = `Each row is a check of \`DmaDebug\`, numbered as the kernel's table was read (Linux 6.12
kernel/dma/debug.c); the last two are not the kernel's. A finding has the name of its check and tells device, address,
size, direction, time, CPU, where the mapping was made that it concerns, and that mapping. A driver that makes each
mistake, and no other, is in \`@vnic/dma-api/testing\` (\`runMisbehavingDriver\`).`

const row = (check: DebugCheck): ReadonlyArray<string> => [
  `${check.number}`,
  code(check.kind),
  capitalized(check.when),
  capitalized(check.condition),
  capitalized(check.difference ?? "")
]

/** docs/reference/dma-debug.md */
export const dmaDebugPage = (): Page =>
  page("dma-debug.md", "Checks of DMA debug", "packages/dma-api/src/core/debugChecks.ts", [
    ABOUT,
    table(["#", "Finding", "When", "What is wrong", "Unlike the kernel"], DEBUG_CHECKS.map(row), ["#"])
  ])
