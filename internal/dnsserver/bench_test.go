package dnsserver

import (
	"testing"

	wire "github.com/miekg/dns"
)

func BenchmarkReply(b *testing.B) {
	x := indexOf(b)
	for _, q := range []struct {
		name string
		typ  uint16
	}{
		{"web.demo.svc.cluster.local.", wire.TypeA},
		{"_http._tcp.web.demo.svc.cluster.local.", wire.TypeSRV},
		{"nobody.demo.svc.cluster.local.", wire.TypeA},
		{"many.demo.svc.cluster.local.", wire.TypeA},
	} {
		m := question(q.name, q.typ)
		m.SetEdns0(maxUDP, false)
		query, err := m.Pack()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(q.name+wire.TypeToString[q.typ], func(b *testing.B) {
			buf := make([]byte, maxUDP+1)
			b.ReportAllocs()
			for b.Loop() {
				if x.reply(query, buf, true) == nil {
					b.Fatal("silence")
				}
			}
		})
	}
}
