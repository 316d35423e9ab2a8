package allocate

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// maxHostBits bounds how much of a range is used: more than anybody can fill, and offsets that cannot overflow.
const maxHostBits = 62

// ranges are the CIDRs of one kind of address, by family.
type ranges map[corev1.IPFamily][]addressRange

// addressRange is a CIDR and what of it is given out: size addresses beginning with the first-th.
type addressRange struct {
	prefix      netip.Prefix
	first, size uint64
	reserved    uint64 // of these the first ones, given out last
}

func rangesOf(prefixes []netip.Prefix) ranges {
	r := ranges{}
	for _, p := range prefixes {
		f := resolve.FamilyOf(p.Addr())
		r[f] = append(r[f], rangeOf(p.Masked()))
	}
	return r
}

// rangeOf leaves out the network's own address (IPv6: that of any router, RFC 4291 §2.6.1) and, for IPv4, the broadcast
// address, as the API server does; but not of a range of one or two addresses, which has neither (RFC 3021).
func rangeOf(p netip.Prefix) addressRange {
	n := uint64(1) << min(p.Addr().BitLen()-p.Bits(), maxHostBits)
	r := addressRange{prefix: p, size: n, reserved: reserved(n, 16, 16, 256)}
	switch {
	case n <= 2:
	case p.Addr().Is4():
		r.first, r.size = 1, n-2
	default:
		r.first, r.size = 1, n-1
	}
	return r
}

// reserved is how much of a range of n is left to be written by hand: min(max(least, n/share), most), and nothing of a
// range so small that there would be no more than that (KEP-3070, KEP-3668).
func reserved(n, share, least, most uint64) uint64 {
	if n <= least {
		return 0
	}
	return min(max(least, n/share), most)
}

// at gives the address at an offset from the first one that is given out.
func (r *addressRange) at(offset uint64) netip.Addr {
	offset += r.first
	if r.prefix.Addr().Is4() {
		b := r.prefix.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(offset))
		return netip.AddrFrom4(b)
	}
	b := r.prefix.Addr().As16()
	low, carry := bits.Add64(binary.BigEndian.Uint64(b[8:]), offset, 0)
	binary.BigEndian.PutUint64(b[8:], low)
	binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])+carry)
	return netip.AddrFrom16(b)
}

// contains reports whether an address can be given out.
func (r *addressRange) contains(a netip.Addr) bool {
	return r.prefix.Contains(a) && a.Compare(r.at(0)) >= 0 && a.Compare(r.at(r.size-1)) <= 0
}

// contains reports whether an address can be given out.
func (rs ranges) contains(a netip.Addr) bool {
	for _, r := range rs[resolve.FamilyOf(a)] {
		if r.contains(a) {
			return true
		}
	}
	return false
}

// bands gives the parts of the ranges of a family in the order in which they are used: of each range the upper part
// first, if some of it is reserved.
func (rs ranges) bands(f corev1.IPFamily, reserving bool) []band[netip.Addr] {
	var out []band[netip.Addr]
	for _, r := range rs[f] {
		low := uint64(0)
		if reserving {
			low = r.reserved
		}
		out = appendBand(out, r.size-low, func(i uint64) netip.Addr { return r.at(low + i) })
		out = appendBand(out, low, r.at)
	}
	return out
}

// full says that the ranges of a family are full.
func (rs ranges) full(f corev1.IPFamily) string {
	var words []string
	for _, r := range rs[f] {
		words = append(words, r.prefix.String())
	}
	if len(words) == 1 {
		return "range " + words[0] + " is full"
	}
	return "ranges " + strings.Join(words, ", ") + " are full"
}

// portBands gives the parts of the range of node ports in the order in which they are used.
func portBands(r resolve.PortRange) []band[int32] {
	n := uint64(r.Last) - uint64(r.First) + 1
	low := reserved(n, 32, 16, 128)
	var out []band[int32]
	out = appendBand(out, n-low, func(i uint64) int32 { return int32(r.First) + int32(low+i) })
	return appendBand(out, low, func(i uint64) int32 { return int32(r.First) + int32(i) })
}
