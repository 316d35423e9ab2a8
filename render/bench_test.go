package render

import (
	"io"
	"net/netip"
	"testing"

	"github.com/svcctl/svcctl/compiler/graph"
)

// largeRuleset gives the IPv4 program with so many services of so many endpoints each.
func largeRuleset(services, endpoints int) *graph.Ruleset {
	t := program(graph.IPv4)
	svc, eps := t.Set(graph.ServicesMap), t.Set(graph.EndpointsMap)
	svc.Elements, eps.Elements = graph.Elements{}, graph.Elements{}
	for i := range services {
		addr := netip.AddrFrom4([4]byte{10, 96 + byte(i>>16), byte(i >> 8), byte(i)})
		key := graph.Key{Addr: addr, Proto: graph.TCP, Port: 80}
		verdict := graph.Verdict{Op: graph.Goto, Chain: "random-4"}
		svc.Elements.Append(graph.Element{Key: key, Data: graph.Data{Verdict: verdict}, Owner: webOwner})
		for slot := range endpoints {
			key.Slot = uint32(slot)
			data := graph.Data{Addr: netip.AddrFrom4([4]byte{10, 1, byte(i), byte(slot)}), Port: 8080}
			eps.Elements.Append(graph.Element{Key: key, Data: data, Owner: webOwner})
		}
	}
	return &graph.Ruleset{Tables: []*graph.Table{t}}
}

// counter counts what is written.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func benchmark(b *testing.B, format func(io.Writer, *graph.Ruleset) error) {
	b.Helper()
	rs := largeRuleset(30_000, 10)
	b.ReportAllocs()
	for b.Loop() {
		var c counter
		if err := format(&c, rs); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(c.n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/330_000, "ns/element")
}

func BenchmarkNFT(b *testing.B)  { benchmark(b, NFT) }
func BenchmarkJSON(b *testing.B) { benchmark(b, JSON) }
func BenchmarkDOT(b *testing.B)  { benchmark(b, DOT) }
