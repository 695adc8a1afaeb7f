/** Platform profiles, accounts that CPU time is booked to, and the cores of a host, for those who build worlds. */
export { ACCOUNT_COUNT, ACCOUNTS } from "./core/accounts.ts"
export { spreadOverCores } from "./core/cores.ts"
export { CONSTANT_NAMES, profileValues, type ConstantName, type Profile, type ProfileValues } from "./core/profile.ts"
export { findProfile, PROFILES } from "./core/profiles/index.ts"
