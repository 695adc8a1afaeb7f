const MINIMUM = [22, 19] as const

/** Whether a version of Node is too old for this program. */
export const isOldNode = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])
}
