/**
 * The EEPROM behind EERD, and the semaphore that drivers take before they read it.
 *
 * MODEL: it holds the MAC address and a good checksum, and 0 elsewhere.
 */
import {
  EERD,
  EERD_ADDRESS_SHIFT,
  EERD_DATA_SHIFT,
  EERD_DONE_BIT,
  EERD_START_BIT,
  SWSM,
  SWSM_SMBI_BIT
} from "../registers.ts"
import type { RegisterFile } from "./registerFile.ts"

const WORDS = 256
const ADDRESS_MASK = 0x3fff
const CHECKSUM_WORD = 0x3f
/** What the words up to the checksum add up to. */
const CHECKSUM = 0xbaba

export class Eeprom {
  private readonly words = new Uint16Array(WORDS)
  declare private readonly file: RegisterFile

  constructor(file: RegisterFile, macAddress: ReadonlyArray<number>) {
    this.file = file
    let sum = 0
    for (let word = 0; word < 3; word++) {
      this.words[word] = macAddress[2 * word]! | (macAddress[2 * word + 1]! << 8)
      sum += this.words[word]!
    }
    this.words[CHECKSUM_WORD] = CHECKSUM - sum
    file.whenWritten("EERD", (_, value) => this.read(value))
    file.whenRead("SWSM", () => {
      const value = file.peek(SWSM)
      file.poke(SWSM, value | SWSM_SMBI_BIT)
      return value
    })
    this.reset()
  }

  /** As after a device reset: nothing read. */
  reset(): void {
    this.file.poke(EERD, EERD_DONE_BIT)
  }

  private read(value: number): void {
    if ((value & EERD_START_BIT) === 0) return
    const address = (value >>> EERD_ADDRESS_SHIFT) & ADDRESS_MASK
    const data = this.words[address] ?? 0
    this.file.poke(EERD, (data << EERD_DATA_SHIFT) | (address << EERD_ADDRESS_SHIFT) | EERD_DONE_BIT)
  }
}
