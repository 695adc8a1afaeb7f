/** Charts as files. The libraries take a while to load, so this module is loaded when a chart is wanted. */
import { Resvg } from "@resvg/resvg-js"
import { parse, View } from "vega"
import { compile, type TopLevelSpec } from "vega-lite"

/** Pixels for each unit of the chart. */
const PNG_SCALE = 2

/** The chart as SVG. */
export const toSvg = (spec: TopLevelSpec): Promise<string> =>
  new View(parse(compile(spec).spec), { renderer: "none" }).toSVG()

/** An SVG as pixels, with the fonts of this machine. */
export const toPng = (svg: string): Uint8Array =>
  new Resvg(svg, {
    fitTo: { mode: "zoom", value: PNG_SCALE },
    font: { loadSystemFonts: true, defaultFontFamily: "DejaVu Sans" }
  })
    .render()
    .asPng()
