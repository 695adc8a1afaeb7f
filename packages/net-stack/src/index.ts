export { ETHERNET_HEADER_SIZE_BYTES } from "./core/ethernet.ts"
export { TRANSMIT_BUFFER_BYTES } from "./core/hostStack.ts"
export { FRAME_CHECK_SIZE_BYTES, wireBits } from "./core/wire.ts"
export * from "./HostStack.ts"
