import { bit, bits, describing, type RegisterDefinition } from "./register.ts"

const register = describing("link", "RW", "ixgbe_type.h of DPDK; reset values of the Vigor model")

/** Link and flow control. */
export const LINK_REGISTERS: ReadonlyArray<RegisterDefinition> = [
  register("AUTOC", 0x042a0, "Link set-up", {
    reset: 0xc19d8284,
    fields: [
      bit("FLU", 0, "force the link up"),
      bits("PMA_10G", 7, 2, "kind of 10G interface"),
      bit("AN_RESTART", 12, "set the link up anew", "SC"),
      bits("LMS", 13, 3, "link mode; 3 is 10G serial")
    ]
  }),
  register("LINKS", 0x042a4, "Link status", {
    access: "RO",
    reset: 0x0c47ff03,
    source: "found by running Linux's ixgbe on a model",
    fields: [bits("SPEED", 28, 2, "3 is 10 Gb/s"), bit("UP", 30, "the link is up")]
  }),
  register("AUTOC2", 0x042a8, "Link set-up, second part; storage only"),
  register("ANLP1", 0x042b0, "What the link partner can do; storage only"),
  register("MSCA", 0x0425c, "Management bus command", {
    fields: [bit("MDICMD", 30, "run the command", "SC")]
  }),
  register("MSRWD", 0x04260, "Management bus data; storage only"),
  register("FCTTV", 0x03200, "Flow control: time in pause frames; storage only", { count: 4 }),
  register("FCRTL", 0x03220, "Flow control: threshold to go on; storage only", { count: 8 }),
  register("FCRTH", 0x03260, "Flow control: threshold to pause; storage only", { count: 8 }),
  register("FCRTV", 0x032a0, "Flow control: refresh; storage only"),
  register("FCCFG", 0x03d00, "Flow control: what is sent; storage only"),
  register("MFLCN", 0x04294, "Flow control: what is obeyed; storage only")
]
