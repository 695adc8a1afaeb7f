export { type BusConstants } from "./bus.ts"
export { type DeviceCounters } from "./counters.ts"
export { VECTOR_COUNT } from "./interrupts.ts"
export { FRAME_MAX_BYTES } from "./mac.ts"
export {
  DEFAULT_MAC_ADDRESS,
  LINK_UP_PS,
  makeNicDevice,
  type NicDevice,
  type NicDeviceOptions,
  type NicDevicePorts,
  RESET_PS
} from "./nicDevice.ts"
export { PACKET_BUFFER_BYTES, PACKET_BUFFER_FRAMES_MAX } from "./packetBuffer.ts"
export { type BusMaster, type Interrupts, type Phy } from "./ports.ts"
export { DROP_CAUSES, type DropCause } from "./statistics.ts"
export { INDIRECTION_ENTRIES, KEY_BYTES, MICROSOFT_KEY, receiveQueueOf, toeplitz } from "./toeplitz.ts"
export { FCS_BYTES, FRAME_MIN_BYTES, TAG_QUEUE_SHIFT, TAG_TX_BIT } from "./layout.ts"
