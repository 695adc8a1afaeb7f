/** The fields of results as a page. */
import { resultMeanings, type ResultMeaning } from "@vnic/lab"
import { code, type Page, page, table } from "./page.ts"

const RUN = "runs[]."

/** A chapter for what stands in the envelope, and one for each part of a run. */
const chapterOf = (field: string): string => {
  if (!field.startsWith(RUN)) return "The whole"
  const [part, ...rest] = field.slice(RUN.length).split(".")
  return rest.length === 0 ? "Each run" : `Each run: ${part!.replace("[]", "")}`
}

const chapter = (name: string, fields: ReadonlyArray<readonly [field: string, meaning: ResultMeaning]>): string => {
  const rows = fields.map(([field, { meaning, span, unit }]) => [code(field.replace(RUN, "")), unit, span, meaning])
  return `## ${name}\n\n${table(["Field", "Unit", "Of", "Meaning"], rows)}`
}

const ABOUT = [
  `What \`vnic run\` and \`vnic replay\` write with \`--json\`. Numbers carry their unit in the key. All but \`wall\`
is a pure function of scenario, seed and version.`,
  `*Window* is the measured window of the scenario, cut to whole frames at line rate where all frames have one length;
in a replay it goes from the capture's first frame to its last. *Whole run* is everything from the driver's bring-up to
the end of its shutdown: the warm-up before the window, and the frames, maps and invalidations after it. So figures of
the two do not divide into each other.`,
  `A mean or a percentile of nothing is null; rates and shares of time are 0 then. What is given for each frame is of
the frames of the window: the maps and unmaps of a frame's buffers count with the frame, whenever they were made, where
\`dma.maps\`, \`dma.unmaps\` and \`dma.hypercalls\` are those made in the window. At either end of a window a CPU may be
in the midst of an operation, so that a mean of few frames is off by up to one operation a CPU.`,
  `Percentiles are read from a histogram whose buckets are up to 3.2 % wide: a percentile is its bucket's upper edge, or
the longest time where that is less. With few frames several of them are that longest time.`
]

/** docs/reference/results.md */
export const resultsPage = (): Page => {
  const fields = Object.entries(resultMeanings)
  const names = [...new Set(fields.map(([field]) => chapterOf(field)))]
  const chapters = names.map((name) =>
    chapter(
      name,
      fields.filter(([field]) => chapterOf(field) === name)
    )
  )
  return page("results.md", "Results", "packages/lab/src/ResultMeanings.ts", [...ABOUT, ...chapters])
}
