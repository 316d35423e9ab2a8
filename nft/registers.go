package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// slot is one of the sixteen registers of four bytes of a rule (NFT_REG32_00 to NFT_REG32_15). The fields of a
// concatenation lie in consecutive slots, each padded to whole ones.
type slot int

const slots = unix.NFT_REG32_15 - unix.NFT_REG32_00 + 1

// register gives the kernel's number of a slot.
func (s slot) register() uint32 { return unix.NFT_REG32_00 + uint32(s) }

// slotOf is the inverse of register. The kernel gives the older numbers NFT_REG_1 to NFT_REG_4, of registers of 16 bytes,
// to the slots where one of those begins.
func slotOf(register uint32) (s slot, ok bool) {
	switch {
	case register >= unix.NFT_REG_1 && register <= unix.NFT_REG_4:
		return slot(register-unix.NFT_REG_1) * 4, true
	case register >= unix.NFT_REG32_00 && register <= unix.NFT_REG32_15:
		return slot(register - unix.NFT_REG32_00), true
	default:
		return 0, false
	}
}

// slotsFor gives the number of slots that a value of n bytes takes.
func slotsFor(n int) slot { return slot(align4(n) / 4) }

// exprLen gives the size in bytes of the value of an expression, the padding between fields included.
func exprLen(f graph.Family, x graph.Expr) int {
	switch x := x.(type) {
	case graph.Payload:
		if x == graph.DestPort {
			return 2
		}
		return addrLen(f)
	case graph.L4Proto:
		return 1
	case graph.Ct:
		switch x {
		case graph.CtOriginalSource, graph.CtOriginalDest:
			return addrLen(f)
		case graph.CtOriginalDestPort:
			return 2
		default: // CtState, CtStatus
			return 4
		}
	case graph.FibType, graph.Numgen, graph.Jhash:
		return 4
	case graph.Masked:
		return exprLen(f, x.X)
	case graph.Concat:
		n := 0
		for _, part := range x {
			n += align4(exprLen(f, part))
		}
		return n
	default:
		panic(fmt.Sprintf("nft: unhandled expression %T", x))
	}
}
