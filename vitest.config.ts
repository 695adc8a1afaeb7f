import { defineConfig } from "vitest/config"

const packages = ["sim", "iommu", "dma-api", "nic-device", "net-stack", "driver", "traffic", "lab"]

/** No test measures wall-clock time, so a slow machine only takes longer. */
const testTimeout = 120_000

export default defineConfig({
  test: {
    projects: [
      ...packages.map((name) => ({
        test: { name: `@vnic/${name}`, root: `packages/${name}`, include: ["test/**/*.test.ts"], testTimeout }
      })),
      { test: { name: "examples", root: "examples", include: ["*/*.test.ts"], testTimeout } },
      { test: { name: "workspace", include: ["test/**/*.test.ts"], testTimeout } }
    ]
  }
})
