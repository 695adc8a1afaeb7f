/** Messages between the command and the worker of a run. */
import type { RunResult } from "../Result.ts"
import type { ResolvedScenario } from "../Scenario.ts"

/** One run, as plain data. */
export interface RunRequest {
  readonly name: string
  readonly scenario: ResolvedScenario
  readonly seed: number
  readonly capture?: Uint8Array
}

/** What a run gives back. */
export interface RunOutput {
  readonly result: RunResult
  /** The delivered frames as a capture, when one was replayed. */
  readonly delivered?: Uint8Array
}

export type WorkerMessage =
  | { readonly kind: "progress"; readonly fraction: number }
  | { readonly kind: "done"; readonly output: RunOutput }
  | { readonly kind: "failed"; readonly reason: string }
