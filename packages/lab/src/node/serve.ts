/** What a worker does: it takes one run, reports its progress, gives back its result. */
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { WorkerRunnerPlatform } from "effect/workers/WorkerRunner"
import { runScenario } from "../Run.ts"
import { inlineMoreFor } from "./engine.ts"
import type { RunRequest, WorkerMessage } from "./protocol.ts"

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

const conversation = Effect.gen(function* () {
  const platform = yield* WorkerRunnerPlatform
  const runner = yield* platform.start<WorkerMessage, RunRequest>()
  yield* runner.run((port, request) => {
    const send = (message: WorkerMessage) => runner.sendUnsafe(port, message)
    const { durationPs, warmUpPs } = request.scenario.measure
    inlineMoreFor(warmUpPs + durationPs)
    let delivered: Uint8Array | undefined
    return runScenario(request.scenario, {
      seed: request.seed,
      payloadCheck: "all",
      onProgress: (fraction) => send({ kind: "progress", fraction }),
      ...(request.capture === undefined ? {} : { capture: request.capture }),
      ...(request.keepFrames ? { onDelivered: (capture: Uint8Array) => void (delivered = capture) } : {})
    }).pipe(
      Effect.matchCause({
        onFailure: (cause) => send({ kind: "failed", reason: reasonOf(cause) }),
        onSuccess: (measured) => {
          const result = { ...measured, name: request.name }
          send({
            kind: "done",
            output: delivered === undefined ? { result } : { result, delivered }
          })
        }
      })
    )
  })
})

/** Takes the run that comes next, in the thread that calls this. */
export const serve = (): void => {
  void Effect.runPromise(conversation.pipe(Effect.provide(NodeWorkerRunner.layer)))
}
