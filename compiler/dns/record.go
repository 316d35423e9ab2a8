package dns

import (
	"net/netip"
	"strings"
)

// Name is a domain name: its labels from the leaf to the root, in lower case, joined by dots, without a dot at the end.
// A label may hold any byte but a dot; how it is escaped is the business of whoever writes it down.
type Name string

// in reports whether the name is the domain or below it.
func (n Name) in(domain Name) bool {
	return n == domain || strings.HasSuffix(string(n), "."+string(domain))
}

// The limits of a name (RFC 1035, section 2.3.4). On the wire a name has a byte for the length of each label and one for
// the root, which is two more than it has here.
const (
	maxLabel = 63
	maxName  = 253
)

// Problem says why DNS cannot have such a name, or is empty.
func (n Name) Problem() string {
	if len(n) > maxName {
		return "is longer than the 253 characters of a domain name"
	}
	start := 0
	for i := range len(n) + 1 {
		if i < len(n) && n[i] != '.' {
			continue
		}
		switch size := i - start; {
		case size == 0:
			return "has an empty label"
		case size > maxLabel:
			return "has a label longer than 63 characters"
		}
		start = i + 1
	}
	return ""
}

// Record is a resource record of class IN. Its TTL is the zone's.
type Record struct {
	Name Name
	Data Data
}

// Data is what a record says.
//
//sumtype:decl
type Data interface{ isData() }

// A is an IPv4 address.
type A struct{ Addr netip.Addr }

// AAAA is an IPv6 address.
type AAAA struct{ Addr netip.Addr }

// CNAME says that the name is another name's alias.
type CNAME struct{ Target Name }

// NS is a server of the zone.
type NS struct{ Host Name }

// PTR is the name of an address.
type PTR struct{ Target Name }

// SRV is where a named port is found (RFC 2782).
type SRV struct {
	Priority, Weight, Port uint16
	Target                 Name
}

// TXT is a text of at most 255 bytes.
type TXT struct{ Text string }

func (A) isData()     {}
func (AAAA) isData()  {}
func (CNAME) isData() {}
func (NS) isData()    {}
func (PTR) isData()   {}
func (SRV) isData()   {}
func (TXT) isData()   {}

// addressData gives the record of an address.
func addressData(a netip.Addr) Data {
	if a.Is4() {
		return A{a}
	}
	return AAAA{a}
}
