/** What the hardware's reason codes say, in the words of fault records. */
import type { FaultReason } from "../faults.ts"
import {
  FAULT_BEYOND_WIDTH,
  FAULT_CONTEXT_INVALID,
  FAULT_CONTEXT_NOT_PRESENT,
  FAULT_CONTEXT_POINTER,
  FAULT_CONTEXT_RESERVED,
  FAULT_ENTRY_RESERVED,
  FAULT_INTERRUPT_ADDRESS,
  FAULT_NO_READ,
  FAULT_NO_WRITE,
  FAULT_ROOT_NOT_PRESENT,
  FAULT_ROOT_POINTER,
  FAULT_ROOT_RESERVED,
  FAULT_TABLE_POINTER
} from "./layout.ts"

const REASONS: ReadonlyArray<readonly [code: number, reason: FaultReason]> = [
  [FAULT_ROOT_NOT_PRESENT, "rootNotPresent"],
  [FAULT_CONTEXT_NOT_PRESENT, "contextNotPresent"],
  [FAULT_CONTEXT_INVALID, "contextInvalid"],
  [FAULT_BEYOND_WIDTH, "outsideWindow"],
  [FAULT_NO_WRITE, "noWritePermission"],
  [FAULT_NO_READ, "noReadPermission"],
  [FAULT_TABLE_POINTER, "tablePointerInvalid"],
  [FAULT_ROOT_POINTER, "rootPointerInvalid"],
  [FAULT_CONTEXT_POINTER, "contextPointerInvalid"],
  [FAULT_ROOT_RESERVED, "rootReserved"],
  [FAULT_CONTEXT_RESERVED, "contextReserved"],
  [FAULT_ENTRY_RESERVED, "entryReserved"],
  [FAULT_INTERRUPT_ADDRESS, "interruptAddress"]
]
const REASON_OF = new Map(REASONS)

/**
 * The reason behind a code. Hardware reports a page that is not mapped by the permission that it lacks; here
 * the two are told apart. Without a code the address has no memory behind it.
 */
export const reasonOf = (code: number, isMapped: boolean): FaultReason => {
  if ((code === FAULT_NO_READ || code === FAULT_NO_WRITE) && !isMapped) return "notMapped"
  return REASON_OF.get(code) ?? "outsideMemory"
}
