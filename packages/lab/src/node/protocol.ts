/** Messages between the command and the worker of a run. */
import type { RunResult } from "../Result.ts"
import type { ResolvedScenario } from "../Scenario.ts"

/** One run, as plain data. */
export interface RunRequest {
  readonly name: string
  readonly scenario: ResolvedScenario
  readonly seed: number
  /** The bytes of the capture that the scenario replays. */
  readonly capture?: Uint8Array
  /** Give the delivered frames of a replay back. */
  readonly keepFrames: boolean
}

/** What a run gives back. */
export interface RunOutput {
  readonly result: RunResult
  /** The delivered frames as a capture, when they were asked for. */
  readonly delivered?: Uint8Array
}

export type WorkerMessage =
  | { readonly kind: "progress"; readonly fraction: number }
  | { readonly kind: "done"; readonly output: RunOutput }
  | { readonly kind: "failed"; readonly reason: string }
