/**
 * Threads for runs. Loading is most of what a short run takes, so threads are started before it is known what they
 * will run: they load while the command reads its scenario, and wait.
 */
import { availableParallelism } from "node:os"
import { Worker as Thread } from "node:worker_threads"

/** Sources run as TypeScript, which needs an entry of its own (bin/worker.js); the published package as JavaScript. */
const WORKER_FILE = new URL(import.meta.url.endsWith(".ts") ? "../../bin/worker.js" : "./worker.js", import.meta.url)

const waiting: Array<Thread> = []

const start = (): Thread => {
  const thread = new Thread(WORKER_FILE)
  // Whoever takes the thread listens to it; one that failed before is gone then.
  thread.on("error", () => undefined)
  return thread
}

/**
 * Starts threads ahead of their runs: as many as run at a time, and one that loads meanwhile for the run that comes
 * next. They keep no process alive.
 */
export const startThreads = (count: number): void => {
  for (let index = Math.min(count, availableParallelism() + 1); index > 0; index--) {
    const thread = start()
    thread.unref()
    waiting.push(thread)
  }
}

/** A thread that nobody else has, and that listens as soon as its taker does. */
export const takeThread = (): Thread => {
  let thread = waiting.shift()
  if (thread === undefined || thread.threadId < 0) thread = start()
  thread.ref()
  thread.postMessage("begin", [])
  return thread
}
