package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
)

// Reverse zones end at a whole part of the reversed address: at an octet of IPv4, at a nibble of IPv6 (RFC 1035, section
// 3.5; RFC 3596, section 2.5). The zone of an address that no range was given for is the smallest that registries
// delegate: the /24, or the /64 that is a network.
const (
	smallest4 = 24
	smallest6 = 64
)

// reverseZones gives the zones of the ranges and of the addresses outside of them, with what points from them.
func (b *builder) reverseZones() []*Zone {
	prefixes := reversePrefixes(b.cfg.ReverseCIDRs, b.reverse)
	slices.SortFunc(b.reverse, func(p, q pointer) int {
		return cmp.Or(p.addr.Compare(q.addr), cmp.Compare(p.target, q.target))
	})
	pointers := slices.Compact(b.reverse)
	zones := make([]*Zone, 0, len(prefixes))
	for _, prefix := range prefixes {
		var records []Record
		// Prefixes and pointers are in the same order, and every pointer is in one of the prefixes.
		for len(pointers) > 0 && prefix.Contains(pointers[0].addr) {
			p := pointers[0]
			records = append(records, Record{reverseName(p.addr, p.addr.BitLen()), PTR{p.target}})
			pointers = pointers[1:]
		}
		z := b.zone(reverseName(prefix.Addr(), prefix.Bits()), records)
		z.Prefix = prefix
		zones = append(zones, z)
	}
	return zones
}

// reversePrefixes gives what the reverse zones cover, in order and without one that lies in another.
func reversePrefixes(ranges []netip.Prefix, pointers []pointer) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range ranges {
		out = append(out, wholeParts(r.Masked())...)
	}
	inside := func(a netip.Addr) bool {
		return slices.ContainsFunc(out, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	own := map[netip.Prefix]bool{}
	for _, p := range pointers {
		bits := smallest6
		if p.addr.Is4() {
			bits = smallest4
		}
		prefix := netip.PrefixFrom(p.addr, bits).Masked()
		if !own[prefix] && !inside(p.addr) {
			own[prefix] = true
		}
	}
	for prefix := range own {
		out = append(out, prefix)
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	kept := out[:0]
	for _, p := range out {
		if len(kept) == 0 || !kept[len(kept)-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// wholeParts splits a range into ones that end at a whole part of the address: 10.96.0.0/12 into sixteen of 16 bits. One
// that is too small for a zone of its own becomes the zone it lies in.
func wholeParts(p netip.Prefix) []netip.Prefix {
	part, most := 4, 124
	if p.Addr().Is4() {
		part, most = 8, smallest4
	}
	bits := min((p.Bits()+part-1)/part*part, most)
	if bits == 0 {
		bits = part // the root of the reverse tree is nobody's
	}
	first, err := p.Addr().Prefix(min(bits, p.Bits()))
	if err != nil {
		panic("dns: " + err.Error()) // a prefix has not more bits than its address
	}
	out := make([]netip.Prefix, 0, 1<<(bits-first.Bits()))
	addr := first.Addr().AsSlice()
	for range cap(out) {
		a, _ := netip.AddrFromSlice(addr)
		out = append(out, netip.PrefixFrom(a, bits))
		// The next one: add 1 at the last bit of the prefix.
		for i, carry := (bits-1)/8, 1<<(7-(bits-1)%8); i >= 0 && carry > 0; i-- {
			sum := int(addr[i]) + carry
			addr[i], carry = byte(sum), sum>>8
		}
	}
	return out
}

// reverseName gives the name of the first bits of an address in the reverse tree.
func reverseName(a netip.Addr, bits int) Name {
	var buf [80]byte
	out := buf[:0]
	octets := a.AsSlice()
	if a.Is4() {
		for i := bits/8 - 1; i >= 0; i-- {
			out = append(strconv.AppendUint(out, uint64(octets[i]), 10), '.')
		}
		return Name(append(out, "in-addr.arpa"...))
	}
	const digits = "0123456789abcdef"
	for i := bits/4 - 1; i >= 0; i-- {
		nibble := octets[i/2] >> 4
		if i%2 == 1 {
			nibble = octets[i/2] & 0xf
		}
		out = append(out, digits[nibble], '.')
	}
	return Name(append(out, "ip6.arpa"...))
}
