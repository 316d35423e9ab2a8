package render

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/dns"
)

// ZoneHead is how every zone file starts that [Zone] writes: it tells whose the file is.
const ZoneHead = "; Written by svcctl: changes made here are lost.\n"

// Zone writes a zone as a master file (RFC 1035, section 5): owners relative to the origin, everything that they point to
// in full. What such a file cannot hold, or what is not in the zone, is an error.
func Zone(w io.Writer, z *dns.Zone) error {
	out := &zoneWriter{writer: newWriter(w), origin: z.Origin, below: "." + string(z.Origin)}
	out.str(ZoneHead, "$ORIGIN ")
	out.name(z.Origin)
	out.str(".\n$TTL")
	out.numbers(z.TTL)
	out.str("\n@ IN SOA ")
	out.name(z.SOA.Primary)
	out.str(". ")
	out.name(z.SOA.Mailbox)
	out.str(".")
	out.numbers(z.SOA.Serial, z.SOA.Refresh, z.SOA.Retry, z.SOA.Expire, z.SOA.Minimum)
	out.str("\n")
	for i := range z.Records {
		out.record(&z.Records[i])
	}
	return out.close()
}

type zoneWriter struct {
	*writer
	origin dns.Name
	below  string // the origin with a dot before it
}

func (w *zoneWriter) record(r *dns.Record) {
	switch owner, ok := strings.CutSuffix(string(r.Name), w.below); {
	case ok:
		if why := r.Name.Problem(); why != "" {
			w.fail(fmt.Errorf("the name %q %s", r.Name, why))
		}
		w.name(dns.Name(owner))
	case r.Name == w.origin:
		w.str("@")
	default:
		w.fail(fmt.Errorf("the name %q is not in the zone %q", r.Name, w.origin))
	}
	w.str(" IN ")
	switch data := r.Data.(type) {
	case dns.A:
		w.address("A ", data.Addr, data.Addr.Is4())
	case dns.AAAA:
		w.address("AAAA ", data.Addr, data.Addr.Is6() && data.Addr.Zone() == "")
	case dns.CNAME:
		w.target("CNAME ", data.Target)
	case dns.NS:
		w.target("NS ", data.Host)
	case dns.PTR:
		w.target("PTR ", data.Target)
	case dns.SRV:
		w.str("SRV")
		w.numbers(uint32(data.Priority), uint32(data.Weight), uint32(data.Port))
		w.target(" ", data.Target)
	case dns.TXT:
		w.text(data.Text)
	default:
		w.fail(fmt.Errorf("the name %q has data of an unknown type, %T", r.Name, data))
	}
	w.str("\n")
}

// name writes a name without its final dot.
func (w *zoneWriter) name(n dns.Name) {
	if why := n.Problem(); why != "" {
		w.fail(fmt.Errorf("the name %q %s", n, why))
		return
	}
	w.escaped(string(n), plainInName)
}

// plainInName reports whether a byte stands in names as it is. The dot does between labels, where it is in a [dns.Name].
func plainInName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

func (w *zoneWriter) target(before string, n dns.Name) {
	w.str(before)
	w.name(n)
	w.str(".")
}

func (w *zoneWriter) address(before string, a netip.Addr, fits bool) {
	if !fits {
		w.fail(fmt.Errorf("%q is no address for a record of type %s", a, strings.TrimSpace(before)))
		return
	}
	w.str(before)
	w.buf = a.AppendTo(w.buf)
}

// numbers writes numbers with a space before each.
func (w *zoneWriter) numbers(numbers ...uint32) {
	for _, n := range numbers {
		w.buf = strconv.AppendUint(append(w.buf, ' '), uint64(n), 10)
	}
}

// maxText is how long a text can be: its length is a byte (RFC 1035, section 3.3).
const maxText = 255

func (w *zoneWriter) text(s string) {
	if len(s) > maxText {
		w.fail(fmt.Errorf("a text of %d bytes: at most %d can be in a record", len(s), maxText))
		return
	}
	w.str(`TXT "`)
	w.escaped(s, func(c byte) bool { return ' ' <= c && c <= '~' && c != '"' && c != '\\' })
	w.str(`"`)
}

// escaped writes bytes as they are where they are harmless, and the others as \DDD: their number, in decimal.
func (w *zoneWriter) escaped(s string, harmless func(byte) bool) {
	for i := range len(s) {
		if c := s[i]; harmless(c) {
			w.buf = append(w.buf, c)
		} else {
			w.buf = append(w.buf, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	w.spill()
}
