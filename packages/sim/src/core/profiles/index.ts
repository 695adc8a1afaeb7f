/** The built-in platform profiles by name. */
import type { Profile } from "../profile.ts"
import { power7Pseries } from "./power7-pseries.ts"
import { x86Sandybridge } from "./x86-sandybridge.ts"

export const PROFILES: ReadonlyArray<Profile> = [power7Pseries, x86Sandybridge]

/** The built-in profile of this name. */
export const findProfile = (name: string): Profile | undefined => PROFILES.find((profile) => profile.name === name)
