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

/** Head and tail are indices of 16 bits. */
const INDEX_MASK = 0xffff

/** Joins the queues' registers to the engines. */
export function connectQueueRegisters(file: RegisterFile, rx: RxEngine, tx: TxEngine): void {
  connectReceive(file, rx)
  connectTransmit(file, tx)
}

/** `handler` runs when the register of a queue that exists is written. */
function whenWritten(file: RegisterFile, name: string, handler: (queue: number, value: number) => void): void {
  file.whenWritten(name, (queue, value) => {
    if (queue < QUEUE_COUNT) handler(queue, value)
  })
}

function whenHeadRead(file: RegisterFile, name: string, rings: DescriptorRings): void {
  file.whenRead(name, (queue) => (queue < QUEUE_COUNT ? rings.head[queue]! : 0))
}

function connectReceive(file: RegisterFile, rx: RxEngine): void {
  const { posted, rings } = rx
  const setBase = (queue: number): void => rings.setBase(queue, file.peek(RDBAL(queue)), file.peek(RDBAH(queue)))
  whenWritten(file, "RDBAL", setBase)
  whenWritten(file, "RDBAH", setBase)
  whenWritten(file, "RDLEN", (queue) => rings.setLength(queue, file.peek(RDLEN(queue))))
  whenWritten(file, "RDH", (queue, value) => rings.setHead(queue, value & INDEX_MASK))
  whenHeadRead(file, "RDH", rings)
  whenWritten(file, "RDT", (queue, value) => {
    rings.tail[queue] = value & INDEX_MASK
    rx.kick(queue)
  })
  whenWritten(file, "RXDCTL", (queue, value) => {
    file.poke(RXDCTL(queue), value & ~RXDCTL_SWFLSH_BIT)
    const isOn = (value & RXDCTL_ENABLE_BIT) !== 0
    if (isOn !== (rings.isEnabled[queue] === 1)) rx.enable(queue, isOn)
  })
  file.whenRead("RXDCTL", (queue) => {
    const value = file.peek(RXDCTL(queue)) & ~RXDCTL_ENABLE_BIT
    if (queue >= QUEUE_COUNT) return value
    return rings.isEnabled[queue] === 1 || posted.countOf(queue) > 0 ? value | RXDCTL_ENABLE_BIT : value
  })
}

function connectTransmit(file: RegisterFile, tx: TxEngine): void {
  const { rings, writeBack } = tx
  const setBase = (queue: number): void => rings.setBase(queue, file.peek(TDBAL(queue)), file.peek(TDBAH(queue)))
  whenWritten(file, "TDBAL", setBase)
  whenWritten(file, "TDBAH", setBase)
  whenWritten(file, "TDLEN", (queue) => rings.setLength(queue, file.peek(TDLEN(queue))))
  whenWritten(file, "TDH", (queue, value) => rings.setHead(queue, value & INDEX_MASK))
  whenHeadRead(file, "TDH", rings)
  whenWritten(file, "TDT", (queue, value) => {
    rings.tail[queue] = value & INDEX_MASK
    tx.kick(queue)
  })
  whenWritten(file, "TXDCTL", (queue, value) => {
    file.poke(TXDCTL(queue), value & ~TXDCTL_SWFLSH_BIT)
    writeBack.threshold[queue] = (value & TXDCTL_WTHRESH_MASK) >> TXDCTL_WTHRESH_SHIFT
    // Without a threshold nothing else would report what is pending.
    if ((value & TXDCTL_SWFLSH_BIT) !== 0 || writeBack.threshold[queue] === 0) writeBack.flush(queue)
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
