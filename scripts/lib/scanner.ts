/**
 * A scanner for TypeScript sources that knows just enough to tell code from comments, strings and regular expressions.
 *
 * It keeps every character in its place: what does not belong to a view is replaced by blanks, line ends stay. So a
 * position found in one view means the same place in all of them.
 */

/** A comment, or a run of line comments that stand below each other. */
export interface Comment {
  readonly kind: "line" | "block"
  /** First and last line, from 1. */
  readonly line: number
  readonly lastLine: number
  /** Position of the first character after the comment. */
  readonly end: number
  /** The words of it: without the comment signs and the asterisks at the left. */
  readonly text: string
  /** Nothing but blanks stands before it on its line. */
  readonly isAlone: boolean
}

export interface Scan {
  /** Comments blanked. */
  readonly code: string
  /** Comments blanked, and the contents of strings, templates and regular expressions too. */
  readonly bare: string
  readonly comments: ReadonlyArray<Comment>
}

const blanked = (text: string): string => text.replace(/[^\n]/gu, " ").padEnd(text.length)

/** After one of these a slash begins a regular expression, not a division. */
const BEFORE_REGEX =
  /(?:^|[([{,;=:!&|?+\-*%~^<>]|=>|\b(?:return|typeof|case|in|of|void|throw|new|yield|await|else|do))$/u

const STRING = /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/uy
const REGEX = /\/(?![*/])(?:[^\\/[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/uy
const LINE_COMMENT = /\/\/[^\n]*/uy
const BLOCK_COMMENT = /\/\*[^]*?\*\//uy
const TEMPLATE_PART = /(?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{|$)/uy

/** Splits a source into its views. */
export const scan = (source: string): Scan => new Scanner(source).run()

class Scanner {
  private readonly source: string
  private at = 0
  private code = ""
  private bare = ""
  private readonly comments: Array<Comment> = []
  /** For every template that is open, how many braces are open inside its expression. */
  private readonly templateDepths: Array<number> = []

  constructor(source: string) {
    this.source = source
  }

  run(): Scan {
    const { source } = this
    while (this.at < source.length) this.step()
    return { code: this.code, bare: this.bare, comments: joined(this.comments) }
  }

  private step(): void {
    const character = this.source[this.at]!
    const comment = this.match(LINE_COMMENT) ?? this.match(BLOCK_COMMENT)
    if (comment !== undefined) return this.takeComment(comment)
    const string = this.match(STRING)
    if (string !== undefined) return this.take(string, string[0]! + blanked(string.slice(1, -1)) + string[0]!)
    if (character === "/" && BEFORE_REGEX.test(this.bare.trimEnd().slice(-10))) {
      const regex = this.match(REGEX)
      if (regex !== undefined) return this.take(regex, blanked(regex))
    }
    if (character === "`") {
      this.take("`", "`")
      return this.takeTemplatePart()
    }
    const depth = this.templateDepths.length - 1
    if (depth >= 0 && character === "{") this.templateDepths[depth]! += 1
    if (depth >= 0 && character === "}") {
      if (this.templateDepths[depth] === 0) {
        this.templateDepths.pop()
        this.take("}", "}")
        return this.takeTemplatePart()
      }
      this.templateDepths[depth]! -= 1
    }
    this.take(character, character)
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    return pattern.exec(this.source)?.[0]
  }

  private take(text: string, bare: string): void {
    this.code += text
    this.bare += bare
    this.at += text.length
  }

  private takeTemplatePart(): void {
    const part = this.match(TEMPLATE_PART) ?? ""
    const closing = part.endsWith("${") ? 2 : part.endsWith("`") ? 1 : 0
    if (closing === 2) this.templateDepths.push(0)
    const words = part.length - closing
    this.take(part, blanked(part.slice(0, words)) + part.slice(words))
  }

  private takeComment(raw: string): void {
    const line = lineAt(this.source, this.at)
    const lineStart = this.source.lastIndexOf("\n", this.at - 1) + 1
    this.comments.push({
      kind: raw.startsWith("//") ? "line" : "block",
      line,
      lastLine: line + raw.split("\n").length - 1,
      end: this.at + raw.length,
      text: wordsOf(raw),
      isAlone: this.source.slice(lineStart, this.at).trim() === ""
    })
    this.code += blanked(raw)
    this.bare += blanked(raw)
    this.at += raw.length
  }
}

/** Number of the line of a position, from 1. */
export const lineAt = (source: string, position: number): number => {
  let line = 1
  for (let at = source.indexOf("\n"); at >= 0 && at < position; at = source.indexOf("\n", at + 1)) line += 1
  return line
}

const wordsOf = (raw: string): string =>
  raw
    .replace(/^\/\/+ ?|^\/\*+ ?|\s*\*+\/$/gu, "")
    .split("\n")
    .map((line, index) => (index === 0 ? line : line.replace(/^\s*\* ?/u, "")).trimEnd())
    .join("\n")
    .trim()

/** Line comments that stand alone and directly below each other are one comment. */
const joined = (comments: ReadonlyArray<Comment>): ReadonlyArray<Comment> => {
  const result: Array<Comment> = []
  for (const comment of comments) {
    const before = result.at(-1)
    const continues = before?.kind === "line" && before.isAlone && comment.kind === "line" && comment.isAlone
    if (!continues || before.lastLine + 1 !== comment.line) {
      result.push(comment)
      continue
    }
    const text = `${before.text}\n${comment.text}`
    result[result.length - 1] = { ...before, text, lastLine: comment.lastLine, end: comment.end }
  }
  return result
}
