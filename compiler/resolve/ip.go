package resolve

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// FamilyOf gives the address family. Addresses that are parsed here are never IPv4-mapped.
func FamilyOf(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// OtherFamily gives the family that is not f.
func OtherFamily(f corev1.IPFamily) corev1.IPFamily {
	if f == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// ParseIP parses an address as the API server's strict rule does: no leading zeros, no IPv4-mapped IPv6 address, no zone.
func ParseIP(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && !a.Is4In6() && a.Zone() == ""
}

// isCanonical reports whether s is how the address is written (RFC 5952). An IPv4 address that parses is.
func isCanonical(a netip.Addr, s string) bool {
	if a.Is4() {
		return true
	}
	var buf [64]byte
	return string(a.AppendTo(buf[:0])) == s
}

// checkIP reports an address that is none, and warns of one that is not canonical. It gives the address and whether it
// can be used.
func (r *report) checkIP(s string, path func() *field.Path) (netip.Addr, bool) {
	a, ok := ParseIP(s)
	if !ok {
		r.add(validation.IsValidIPForLegacyField(path(), s, true, nil)...)
		return a, false
	}
	if !isCanonical(a, s) {
		r.warn("Invalid", path().String(), "IPv6 address %q should be in RFC 5952 canonical format (%q)", s, a.String())
	}
	return a, true
}

// isSpecial reports whether the address is of a kind that is never reached through another host.
func isSpecial(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast()
}

// special says why such an address is refused as an endpoint or external IP, in the API server's words.
func special(a netip.Addr, s string) string {
	switch {
	case a.IsUnspecified():
		return "may not be unspecified (" + s + ")"
	case a.IsLoopback():
		return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
	case a.IsLinkLocalUnicast():
		return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
	default:
		return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
	}
}

// checkRoutable is checkIP and refuses special addresses.
func (r *report) checkRoutable(s string, path func() *field.Path) (netip.Addr, bool) {
	a, ok := r.checkIP(s, path)
	if ok && isSpecial(a) {
		r.invalid(path(), s, special(a, s))
		return a, false
	}
	return a, ok
}

// merged gives the prefixes masked, in order, without those that lie in another one: ranges of one set must not overlap.
func merged(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	out := prefixes[:0]
	for _, p := range prefixes {
		if len(out) == 0 || !out[len(out)-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return slices.Clip(out)
}
