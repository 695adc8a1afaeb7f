/** Return codes of hypercalls, by their PAPR names. */
export const H_SUCCESS = 0
export const H_HARDWARE = -1
export const H_FUNCTION = -2
export const H_PARAMETER = -4
export const H_NOT_ENOUGH_RESOURCES = -44
