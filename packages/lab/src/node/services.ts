/** The services of Node that a command uses; loaded when one of them runs. */
export { layer, type NodeServices } from "@effect/platform-node/NodeServices"
