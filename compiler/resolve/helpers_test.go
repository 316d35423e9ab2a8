package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// decode reads YAML as a user writes it.
func decode(tb testing.TB, docs ...string) *manifest.Bundle {
	tb.Helper()
	text := strings.Join(docs, "\n---\n")
	b, found := manifest.Decode([]manifest.Source{{Name: "in.yaml", Data: []byte(text)}}, manifest.Options{})
	if err := found.Err(); err != nil {
		tb.Fatalf("decode: %v\n%s", err, text)
	}
	return b
}

// example is one input and what is to come of it.
type example struct {
	name string
	cfg  Config
	in   string
	want string   // the served ports, as dump writes them
	say  []string // every diagnostic, without its file name
}

func (x *example) run(t *testing.T) {
	t.Helper()
	m, found := Resolve(decode(t, x.in), x.cfg)
	if diff := cmp.Diff(lines(x.want), lines(dump(m))); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(x.say, said(found)); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
}

func runAll(t *testing.T, examples []example) {
	t.Helper()
	for _, x := range examples {
		t.Run(x.name, x.run)
	}
}

func lines(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func said(found diag.List) []string {
	var out []string
	for _, d := range found {
		out = append(out, strings.ReplaceAll(d.String(), "in.yaml:", ""))
	}
	return out
}

// dump writes every port on one line, and each of its addresses and endpoint sets on another.
func dump(m *Model) string {
	var b strings.Builder
	for _, sp := range m.ServicePorts {
		fmt.Fprintf(&b, "%s/%s %q %s %s", sp.Service.Ref.Namespace, sp.Service.Ref.Name, sp.Name, sp.Protocol, sp.Family)
		if sp.Affinity > 0 {
			fmt.Fprintf(&b, " affinity %s", sp.Affinity)
		}
		b.WriteByte('\n')
		for _, a := range sp.Addresses {
			fmt.Fprintf(&b, "%s %s", a.Kind, netip.AddrPortFrom(a.Addr, a.Port))
			if a.LocalOnly {
				b.WriteString(" Local")
			}
			if a.Restricted {
				fmt.Fprintf(&b, " from %v", a.SourceRanges)
			}
			b.WriteByte('\n')
		}
		dumpEndpoints(&b, "->", sp.Cluster)
		dumpEndpoints(&b, "-> here", sp.Local)
		if len(sp.Spared) > 0 {
			fmt.Fprintf(&b, "spared %s\n", strings.Trim(fmt.Sprint(sp.Spared), "[]"))
		}
		if !sp.HasEndpoints {
			b.WriteString("none\n")
		}
	}
	return b.String()
}

func dumpEndpoints(b *strings.Builder, word string, endpoints []Endpoint) {
	if len(endpoints) == 0 {
		return
	}
	b.WriteString(word)
	for _, e := range endpoints {
		fmt.Fprintf(b, " %s", e.Addr)
	}
	b.WriteByte('\n')
}

// dumpSlices writes the slices of a Service: what get endpointslices will show.
func dumpSlices(m *Model, name string) string {
	var b strings.Builder
	i := slices.IndexFunc(m.Services, func(s *Service) bool { return s.Ref.Name == name })
	for _, s := range m.Services[i].Slices {
		fmt.Fprintf(&b, "%s", s.AddressType)
		for _, p := range s.Ports {
			fmt.Fprintf(&b, " %s:%d/%s", *p.Name, *p.Port, *p.Protocol)
		}
		b.WriteByte('\n')
		for i, e := range s.EndpointSlice.Endpoints {
			c := e.Conditions
			fmt.Fprintf(&b, "%s ready=%s serving=%s terminating=%s", strings.Join(e.Addresses, ","),
				show(c.Ready), show(c.Serving), show(c.Terminating))
			if e.Hostname != nil {
				fmt.Fprintf(&b, " hostname=%s", *e.Hostname)
			}
			if e.NodeName != nil {
				fmt.Fprintf(&b, " node=%s", *e.NodeName)
			}
			if e.Zone != nil {
				fmt.Fprintf(&b, " zone=%s", *e.Zone)
			}
			if e.Hints != nil {
				fmt.Fprintf(&b, " zones=%v nodes=%v", e.Hints.ForZones, e.Hints.ForNodes)
			}
			if e.TargetRef != nil {
				fmt.Fprintf(&b, " %s/%s", e.TargetRef.Kind, e.TargetRef.Name)
			}
			fmt.Fprintf(&b, " line %d\n", s.Endpoints[i].Line)
		}
	}
	return b.String()
}

func show(b *bool) string {
	if b == nil {
		return "-"
	}
	return fmt.Sprint(*b)
}

func diffLines(t *testing.T, want, got string) {
	t.Helper()
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
