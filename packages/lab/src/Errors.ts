/** What can go wrong for a reason that the person at the command line can act on. Each message stands alone. */
import type { CaptureInvalid } from "@vnic/traffic"
import * as Data from "effect/Data"
import * as Runtime from "effect/Runtime"
import { suggestion } from "./Names.ts"

/** One thing wrong with a scenario: where it is written, which field it is about, and what would be right. */
export interface Problem {
  /** `mine.yaml:4:22`, or `--set` for a setting of the command line. */
  readonly where: string
  readonly path: string
  readonly message: string
}

/** `mine.yaml:4:22 nic.rx.descriptors: 100 is not a multiple of 8; 96 or 104 would do`. */
export const formatProblem = (problem: Problem): string =>
  problem.path === "" ? `${problem.where}: ${problem.message}` : `${problem.where} ${problem.path}: ${problem.message}`

/** A scenario with everything that is wrong with it. */
export class ScenarioInvalid extends Data.TaggedError("ScenarioInvalid")<{
  readonly problems: ReadonlyArray<Problem>
}> {
  override get message(): string {
    return this.problems.map(formatProblem).join("\n")
  }
}

/** No built-in scenario has this name, and no file either where that would do. */
export class ScenarioNotFound extends Data.TaggedError("ScenarioNotFound")<{
  readonly name: string
  readonly known: ReadonlyArray<string>
  readonly mayBeFile: boolean
}> {
  override get message(): string {
    const nothing = this.mayBeFile ? "no such file, and no built-in scenario of that name" : "no built-in scenario"
    return `${this.name}: ${nothing}; ${suggestion(this.name, this.known)}`
  }
}

/** The scenario has no run of this name. */
export class RunNotFound extends Data.TaggedError("RunNotFound")<{
  readonly name: string
  readonly scenario: string
  readonly known: ReadonlyArray<string>
}> {
  override get message(): string {
    return `--only ${this.name}: ${this.scenario} has no such run; ${suggestion(this.name, this.known)}`
  }
}

/** A flag's value is of no use. */
export class FlagInvalid extends Data.TaggedError("FlagInvalid")<{
  readonly flag: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.flag}: ${this.reason}`
  }
}

/** A file that was to be read cannot be read. */
export class InputUnreadable extends Data.TaggedError("InputUnreadable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}: cannot be read: ${this.reason}`
  }
}

/** A result file that cannot be written; found out before the run starts. */
export class OutputUnwritable extends Data.TaggedError("OutputUnwritable")<{
  readonly file: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.file}: cannot be written: ${this.reason}`
  }
}

/** A run stopped for a reason that is no result: a defect of the program. */
export class RunFailed extends Data.TaggedError("RunFailed")<{
  readonly run: string
  readonly reason: string
}> {
  override get message(): string {
    return `run ${this.run} failed: ${this.reason}`
  }
}

/** Some runs stopped; the others went on. */
export class RunsFailed extends Data.TaggedError("RunsFailed")<{
  readonly failures: ReadonlyArray<RunFailed>
}> {
  override get message(): string {
    return this.failures.map((failure) => failure.message).join("\n")
  }
}

/** Results are there, and a check on them failed. */
export class CheckFailed extends Data.TaggedError("CheckFailed")<{
  readonly findings: ReadonlyArray<string>
}> {
  override readonly [Runtime.errorExitCode] = 3
  override get message(): string {
    return this.findings.map((finding) => `check failed: ${finding}`).join("\n")
  }
}

/** Every error of the command. */
export type LabError =
  | ScenarioInvalid
  | ScenarioNotFound
  | RunNotFound
  | FlagInvalid
  | InputUnreadable
  | CaptureInvalid
  | OutputUnwritable
  | RunsFailed
  | CheckFailed
