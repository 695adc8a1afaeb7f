/**
 * The registers of the descriptor queues, joined to the engines.
 *
 * MODEL: queues 16 to 127 have their registers but cannot be enabled. RDH and TDH may be written while their
 * queue is off.
 */
import {
  QUEUE_COUNT,
  RDBAH,
  RDBAL,
  RDLEN,
  RXDCTL,
  RXDCTL_ENABLE_BIT,
  RXDCTL_SWFLSH_BIT,
  TDBAH,
  TDBAL,
  TDLEN,
  TXDCTL,
  TXDCTL_ENABLE_BIT,
  TXDCTL_SWFLSH_BIT,
  TXDCTL_WTHRESH_MASK,
  TXDCTL_WTHRESH_SHIFT
} from "../registers.ts"
import type { DescriptorRings } from "./descriptorRings.ts"
import type { RegisterFile } from "./registerFile.ts"
import type { RxEngine } from "./rxEngine.ts"
import type { TxEngine } from "./txEngine.ts"

export class QueueRegisters {
  private readonly file: RegisterFile
  private readonly rx: RxEngine
  private readonly tx: TxEngine

  constructor(file: RegisterFile, rx: RxEngine, tx: TxEngine) {
    this.file = file
    this.rx = rx
    this.tx = tx
    this.connectReceive()
    this.connectTransmit()
  }

  /** `handler` runs when the register of a queue that exists is written. */
  private whenWritten(name: string, handler: (queue: number, value: number) => void): void {
    this.file.whenWritten(name, (queue, value) => {
      if (queue < QUEUE_COUNT) handler(queue, value)
    })
  }

  private whenHeadRead(name: string, rings: DescriptorRings): void {
    this.file.whenRead(name, (queue) => (queue < QUEUE_COUNT ? rings.head[queue]! : 0))
  }

  private connectReceive(): void {
    const { file, rx } = this
    const { rings } = rx
    const setBase = (queue: number): void => rings.setBase(queue, file.peek(RDBAL(queue)), file.peek(RDBAH(queue)))
    this.whenWritten("RDBAL", setBase)
    this.whenWritten("RDBAH", setBase)
    this.whenWritten("RDLEN", (queue) => rings.setLength(queue, file.peek(RDLEN(queue))))
    this.whenWritten("RDH", (queue, value) => rings.setHead(queue, value & 0xffff))
    this.whenHeadRead("RDH", rings)
    this.whenWritten("RDT", (queue, value) => {
      rings.tail[queue] = value & 0xffff
      rx.kick(queue)
    })
    this.whenWritten("RXDCTL", (queue, value) => {
      file.poke(RXDCTL(queue), value & ~RXDCTL_SWFLSH_BIT)
      const isOn = (value & RXDCTL_ENABLE_BIT) !== 0
      if (isOn !== (rings.isEnabled[queue] === 1)) rx.enable(queue, isOn)
    })
    file.whenRead("RXDCTL", (queue) => {
      const value = file.peek(RXDCTL(queue)) & ~RXDCTL_ENABLE_BIT
      if (queue >= QUEUE_COUNT) return value
      return rings.isEnabled[queue] === 1 || rx.posted.countOf(queue) > 0 ? value | RXDCTL_ENABLE_BIT : value
    })
  }

  private connectTransmit(): void {
    const { file, tx } = this
    const { rings, writeBack } = tx
    const setBase = (queue: number): void => rings.setBase(queue, file.peek(TDBAL(queue)), file.peek(TDBAH(queue)))
    this.whenWritten("TDBAL", setBase)
    this.whenWritten("TDBAH", setBase)
    this.whenWritten("TDLEN", (queue) => rings.setLength(queue, file.peek(TDLEN(queue))))
    this.whenWritten("TDH", (queue, value) => rings.setHead(queue, value & 0xffff))
    this.whenHeadRead("TDH", rings)
    this.whenWritten("TDT", (queue, value) => {
      rings.tail[queue] = value & 0xffff
      tx.kick(queue)
    })
    this.whenWritten("TXDCTL", (queue, value) => {
      file.poke(TXDCTL(queue), value & ~TXDCTL_SWFLSH_BIT)
      writeBack.threshold[queue] = (value & TXDCTL_WTHRESH_MASK) >> TXDCTL_WTHRESH_SHIFT
      if ((value & TXDCTL_SWFLSH_BIT) !== 0) writeBack.flush(queue)
      const isOn = (value & TXDCTL_ENABLE_BIT) !== 0
      if (isOn !== (rings.isEnabled[queue] === 1)) tx.enable(queue, isOn)
    })
    file.whenRead("TXDCTL", (queue) => {
      const value = file.peek(TXDCTL(queue)) & ~TXDCTL_ENABLE_BIT
      if (queue >= QUEUE_COUNT) return value
      const isBusy = tx.inFlight[queue]! + writeBack.posted.countOf(queue) > 0
      return rings.isEnabled[queue] === 1 || isBusy ? value | TXDCTL_ENABLE_BIT : value
    })
  }
}
