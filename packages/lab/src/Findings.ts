/** What is wrong with a scenario: each thing once, however many runs have it, where it is written. */
import type { Conflict } from "./Combinations.ts"
import type { Problem } from "./Errors.ts"
import { changeOf, locateIn, touches, type World, WRITERS, writerOf } from "./Overrides.ts"
import { abridged } from "./Names.ts"
import type { FieldProblem } from "./Problems.ts"
import type { FieldPath } from "./ScenarioSource.ts"

/** A problem, and the runs that have it from settings of their own; none where it does not come from them alone. */
interface Finding {
  readonly problem: Problem
  readonly runs: Array<string>
  isShared: boolean
}

/**
 * Whether a problem of a run's world comes from what the run changes. A field that is wrong without the run as well has
 * been found before, in the world of the file.
 */
const isOwn = ({ run }: World, problem: FieldProblem | Conflict): boolean => {
  if (run === undefined || !("involves" in problem)) return run !== undefined
  const involved = problem.involves.map((path) => path.split("."))
  return run.changes.some(({ path }) => involved.some((other) => touches(path, other)))
}

/** Of a conflict's fields the one whose writer is nearest to the command line, that of the message before others. */
const blamed = (world: World, conflict: Conflict): FieldPath => {
  const fields = [conflict.path, ...conflict.involves.map((path) => path.split("."))]
  const nearness = fields.map((path) => WRITERS.indexOf(writerOf(world, path)))
  return fields[nearness.indexOf(Math.max(...nearness))]!
}

/** The problem at the field that is written; what is wrong may be another one, which has its default. */
export const placed = (world: World, problem: FieldProblem | Conflict): Problem => {
  const path = "involves" in problem ? blamed(world, problem) : problem.path
  const [name, wrong] = [path, problem.path].map((one) => one.map(abridged).join(".")) as [string, string]
  const flag = changeOf(world, path)
  // A flag of its own says which setting it is.
  const isSaid = flag?.isFlag === true && flag.path.join(".") === path.join(".")
  const message = name === wrong ? problem.message : `does not go with ${wrong}, since ${problem.message}`
  return { where: locateIn(world, path, problem.part), path: isSaid ? "" : name, message }
}

const named = ({ isShared, problem, runs }: Finding): Problem => {
  if (isShared || runs.length === 0) return problem
  const names = runs.map(abridged).join(", ")
  return { ...problem, message: `${problem.message} (run${runs.length === 1 ? "" : "s"} ${names})` }
}

/** Line and column; those of the command line are last. */
const placeOf = ({ where }: Problem): readonly [number, number] => {
  const match = /:(\d+):(\d+)$/u.exec(where)
  return match === null ? [Infinity, 0] : [Number(match[1]), Number(match[2])]
}

/** Problems as they are found. */
export class Findings {
  private readonly found = new Map<string, Finding>()

  /** A problem that belongs to no world. */
  add(problem: Problem): void {
    this.found.set(`${problem.where} ${problem.path}`, { problem, runs: [], isShared: true })
  }

  /** A problem of a world. */
  report(world: World, fieldProblem: FieldProblem | Conflict): void {
    const problem = placed(world, fieldProblem)
    // The same words are wrong in every run, but a combination may be impossible in each for a reason of its own.
    const key = `${problem.where} ${problem.path} ${"involves" in fieldProblem ? problem.message : ""}`
    const finding = this.found.get(key) ?? { problem, runs: [], isShared: false }
    this.found.set(key, finding)
    const name = world.run?.name
    if (name === undefined || !isOwn(world, fieldProblem)) finding.isShared = true
    else if (!finding.runs.includes(name)) finding.runs.push(name)
  }

  get isEmpty(): boolean {
    return this.found.size === 0
  }

  /** By line and column. */
  inOrder(): ReadonlyArray<Problem> {
    return [...this.found.values()].map(named).toSorted((one, other) => {
      const [oneLine, oneColumn] = placeOf(one)
      const [otherLine, otherColumn] = placeOf(other)
      return oneLine === otherLine ? oneColumn - otherColumn : oneLine - otherLine
    })
  }
}
