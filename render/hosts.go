package render

import (
	"fmt"
	"io"

	"github.com/svcctl/svcctl/compiler/dns"
)

// Hosts writes lines of a hosts file (hosts(5)): an address, its canonical name, its other names. An alias of a name is a
// comment: such a file can only say what an address is called.
func Hosts(w io.Writer, hosts []dns.Host) error {
	out := &zoneWriter{writer: newWriter(w)}
	for _, h := range hosts {
		if h.Addr.IsValid() {
			out.buf = h.Addr.AppendTo(out.buf)
		} else {
			out.str("#")
		}
		for _, n := range h.Names {
			out.str(" ")
			out.hostName(n)
		}
		if !h.Addr.IsValid() {
			out.str(" is an alias of ")
			out.hostName(h.Alias)
		}
		out.str("\n")
	}
	return out.close()
}

// hostName writes a name of a hosts file, which knows no escapes.
func (w *zoneWriter) hostName(n dns.Name) {
	for i := range len(n) {
		if !plainInName(n[i]) {
			w.fail(fmt.Errorf("the name %q cannot stand in a hosts file", n))
			return
		}
	}
	w.name(n)
}
