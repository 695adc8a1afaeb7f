/** Runs side by side, each in a worker of its own, so that one failing run does not take the others along. */
import { availableParallelism } from "node:os"
import type { Worker as Thread } from "node:worker_threads"
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import * as Worker from "effect/workers/Worker"
import { RunFailed } from "../Errors.ts"
import type { RunOutput, RunRequest, WorkerMessage } from "./protocol.ts"
import { takeThread } from "./threads.ts"

const runInWorker = Effect.fnUntraced(function* (request: RunRequest, onProgress: (fraction: number) => void) {
  const failed = (reason: string) => new RunFailed({ run: request.name, reason })
  const platform = yield* Worker.WorkerPlatform
  const done = yield* Deferred.make<RunOutput, RunFailed>()
  let thread: Thread | undefined
  const spawn = (): Thread => {
    thread = takeThread()
    return thread
  }
  const handle = (message: WorkerMessage) => {
    switch (message.kind) {
      case "progress":
        return Effect.sync(() => onProgress(message.fraction))
      case "done":
        return Deferred.succeed(done, message.output)
      case "failed":
        return Deferred.fail(done, failed(message.reason))
    }
  }
  const conversation = Effect.gen(function* () {
    const worker = yield* platform.spawn<WorkerMessage, RunRequest>(0)
    yield* worker.send(request)
    return yield* worker.run(handle)
  }).pipe(
    Effect.provideService(Worker.Spawner, spawn),
    Effect.mapError((error) => failed(error.message))
  )
  // A busy worker does not read a request to close; Ctrl-C must not wait for it.
  const stop = Effect.onInterrupt(Effect.never, () => Effect.promise(async () => thread?.terminate()))
  return yield* Effect.raceAllFirst([Deferred.await(done), conversation, stop])
})

/** Runs all requests, as many at a time as there are processors; the results come in the order of the requests. */
export const runAll = (
  requests: ReadonlyArray<RunRequest>,
  onProgress: (index: number, fraction: number) => void
): Effect.Effect<ReadonlyArray<Result.Result<RunOutput, RunFailed>>> =>
  Effect.forEach(
    requests,
    (request, index) => Effect.result(runInWorker(request, (fraction) => onProgress(index, fraction))),
    { concurrency: availableParallelism() }
  ).pipe(Effect.provide(NodeWorker.layerPlatform))
