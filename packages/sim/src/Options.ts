/** The parts of a scenario that describe the host: its platform, memory, CPUs, and what is measured for how long. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { PROFILES } from "./core/profiles/index.ts"
import { count, Size, sizeQuantity, Time, timeQuantity, within, withUnitKeys } from "./Units.ts"

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
/**
 * Most memory of a host. Addresses are below 2 GiB, and what is not the host's has them too: frames under way,
 * patterns, captures.
 */
const MEMORY_BYTES_MAX = 2 * GIB - 64 * MIB
const MILLISECOND_PS = 1e9
const SECOND_PS = 1e12

/** What a list or a check needs to know of a built-in platform profile. */
export interface ProfileSummary {
  readonly name: string
  readonly about: string
  /** The kind of IOMMU that the platform has, where it has one. */
  readonly iommu: "tce" | "vtd"
  /** Hardware threads: cores times the threads of each. */
  readonly hardwareThreads: number
}

/** The built-in platform profiles. */
export const profileSummaries: ReadonlyArray<ProfileSummary> = PROFILES.map(({ about, constants, iommu, name }) => ({
  name,
  about,
  iommu,
  hardwareThreads: constants.coreCount.value * constants.threadsPerCore.value
}))

/** Name of a platform profile. */
export const ProfileName = Schema.Literals(profileSummaries.map((profile) => profile.name))

/** Seed of start phases, jitter and random traffic. */
export const Seed = count(0, 0xffff_ffff)

/** Simulated memory and CPUs. */
export const HostOptions = withUnitKeys(
  {
    memory: Size.check(within(sizeQuantity, MIB, MEMORY_BYTES_MAX)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("256 MiB"))
    ),
    cpus: count(1, 64).pipe(Schema.withDecodingDefaultKey(Effect.succeed(8)))
  },
  { memory: "memoryBytes" }
)
export type HostOptions = typeof HostOptions.Type

/** Warm-up and measured window, both in simulated time. */
export const MeasureOptions = withUnitKeys(
  {
    warmUp: Time.check(within(timeQuantity, 0, 10 * SECOND_PS)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("5 ms"))
    ),
    duration: Time.check(within(timeQuantity, MILLISECOND_PS, 100 * SECOND_PS)).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed("50 ms"))
    )
  },
  { warmUp: "warmUpPs", duration: "durationPs" }
)
export type MeasureOptions = typeof MeasureOptions.Type
