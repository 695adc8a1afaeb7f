/** A host with one CPU that writes down what is asked of it, in a journal that a table can share. */
import { makePlainHost, type PlainHost } from "../core/plainHost.ts"

export interface RecordingHost extends PlainHost {
  /** "lock", "unlock" and whatever others write into it, in order. */
  readonly journal: Array<string>
}

/** A plain host with a journal. */
export function makeRecordingHost(): RecordingHost {
  const host = makePlainHost()
  const journal: Array<string> = []
  return {
    ...host,
    journal,
    lock: (cpu, lock, then) => {
      journal.push("lock")
      return host.lock(cpu, lock, then)
    },
    unlock: (cpu, lock) => {
      journal.push("unlock")
      host.unlock(cpu, lock)
    }
  }
}
