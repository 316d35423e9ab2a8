// Package nft is the last phase: it puts a plan into the kernel in one transaction, and reads back what is there.
//
// It takes a [plan.Plan] and gives the kernel one netlink batch; it takes the kernel's tables and gives a
// [graph.Ruleset]. It needs no nft binary. It may assume what graph.Check promises: names that nftables takes, keys and
// data of the declared types, references that resolve.
//
// Tables, chains, sets and elements are encoded here, by hand: the published Go library has no comments, no typeof, no
// element counts and no error offsets, and its elements cost ten times as much. The expressions of rules are encoded by
// that library. Everything is decoded here, strictly: what this package would not have written is never taken for ours.
package nft

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/svcctl/svcctl/compiler/graph"
)

// Protocol numbers of the kernel interface that golang.org/x/sys/unix does not have yet
// (include/uapi/linux/netfilter/nf_tables.h).
const (
	nftMsgDestroySetElem  = 30 // NFT_MSG_DESTROYSETELEM, Linux 6.3
	nftaSetCount          = 20 // NFTA_SET_COUNT
	nftaSetElemKeyEnd     = 10 // NFTA_SET_ELEM_KEY_END
	nftaSetExpr           = 17 // NFTA_SET_EXPR
	nftaSetExpressions    = 18 // NFTA_SET_EXPRESSIONS
	nftaSetDescConcat     = 2  // NFTA_SET_DESC_CONCAT
	nftaSetFieldLen       = 1  // NFTA_SET_FIELD_LEN
	nftaTableUserdata     = 6  // NFTA_TABLE_USERDATA
	nftaChainFlags        = 10 // NFTA_CHAIN_FLAGS
	nftaBitwiseOp         = 6  // NFTA_BITWISE_OP
	nftBitwiseBool        = 0  // NFT_BITWISE_MASK_XOR
	nftaDynsetExpressions = 10 // NFTA_DYNSET_EXPRESSIONS
	nftaFlowtableTable    = 1  // NFTA_FLOWTABLE_TABLE
	nftaFlowtableName     = 2  // NFTA_FLOWTABLE_NAME
	nftSetConcat          = 0x80
	nftChainBinding       = 4 // NFT_CHAIN_BINDING
	nfDrop                = 0 // NF_DROP (include/uapi/linux/netfilter.h)
	nfAccept              = 1 // NF_ACCEPT
)

// familyOf gives the kernel's number of an address family.
func familyOf(f graph.Family) uint8 {
	if f == graph.IPv6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// addrLen gives the size of an address in bytes.
func addrLen(f graph.Family) int {
	if f == graph.IPv6 {
		return 16
	}
	return 4
}

// addrFrom makes an address of 4 or 16 bytes; the zero Addr for any other length.
func addrFrom(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// protoNumber gives the number of a transport protocol in the IP header.
func protoNumber(p graph.Proto) uint8 {
	switch p {
	case graph.TCP:
		return unix.IPPROTO_TCP
	case graph.UDP:
		return unix.IPPROTO_UDP
	case graph.SCTP:
		return unix.IPPROTO_SCTP
	default:
		panic("nft: protocol " + p.String())
	}
}

// protoFrom is the inverse of protoNumber; ok is false for a protocol that no Service can have.
func protoFrom(n uint8) (p graph.Proto, ok bool) {
	for _, p := range graph.Protos {
		if protoNumber(p) == n {
			return p, true
		}
	}
	return 0, false
}
