package dnsserver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"
)

func indexOf(tb testing.TB) *index {
	tb.Helper()
	x, err := newIndex(example().Zones)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// reply answers a message that was never on a wire.
func reply(tb testing.TB, x *index, m *wire.Msg, udp bool) *wire.Msg {
	tb.Helper()
	query, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	out := x.reply(query, make([]byte, maxUDP+1), udp)
	if out == nil {
		return nil
	}
	r := new(wire.Msg)
	if err := r.Unpack(out); err != nil {
		tb.Fatalf("the answer is no message: %v", err)
	}
	return r
}

// shown gives an answer in a few words: the response code, AA and TC where they are set, and the sections.
func shown(r *wire.Msg) string {
	if r == nil {
		return "silence"
	}
	words := []string{wire.RcodeToString[r.Rcode]}
	if r.Authoritative {
		words = append(words, "aa")
	}
	if r.Truncated {
		words = append(words, "tc")
	}
	for i, section := range [][]wire.RR{r.Answer, r.Ns, r.Extra} {
		var records []string
		for _, rr := range section {
			if rr.Header().Rrtype != wire.TypeOPT {
				records = append(records, strings.Join(strings.Fields(rr.String()), " "))
			}
		}
		slices.Sort(records)
		for _, text := range records {
			words = append(words, "\n"+[]string{"answer: ", "authority: ", "additional: "}[i]+text)
		}
	}
	return strings.Join(words, " ")
}

func TestAnswers(t *testing.T) {
	const (
		soa   = " \nauthority: cluster.local. 5 IN SOA ns.example.com. hostmaster.cluster.local. 7 7200 1800 86400 5"
		soa10 = " \nauthority: 96.10.in-addr.arpa. 5 IN SOA ns.example.com. hostmaster.cluster.local. 7 7200 1800 86400 5"
	)
	x := indexOf(t)
	for _, q := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"web.demo.svc.cluster.local.", wire.TypeA, "NOERROR aa \nanswer: web.demo.svc.cluster.local. 5 IN A 10.96.0.1"},
		{"web.demo.svc.cluster.local.", wire.TypeAAAA, "NOERROR aa \nanswer: web.demo.svc.cluster.local. 5 IN AAAA fd00:10:96::1"},
		{"cluster.local.", wire.TypeSOA, "NOERROR aa \nanswer: cluster.local. 5 IN SOA ns.example.com. hostmaster.cluster.local. 7 7200 1800 86400 5"},
		{"cluster.local.", wire.TypeNS, "NOERROR aa \nanswer: cluster.local. 5 IN NS ns.example.com."},
		{"dns-version.cluster.local.", wire.TypeTXT, `NOERROR aa ` + "\n" + `answer: dns-version.cluster.local. 5 IN TXT "1.1.0"`},
		{"1.0.96.10.in-addr.arpa.", wire.TypePTR, "NOERROR aa \nanswer: 1.0.96.10.in-addr.arpa. 5 IN PTR web.demo.svc.cluster.local."},
		// RFC 2782: the addresses of the server come along.
		{
			"_http._tcp.web.demo.svc.cluster.local.", wire.TypeSRV,
			"NOERROR aa \nanswer: _http._tcp.web.demo.svc.cluster.local. 5 IN SRV 0 100 80 web.demo.svc.cluster.local." +
				" \nadditional: web.demo.svc.cluster.local. 5 IN A 10.96.0.1 \nadditional: web.demo.svc.cluster.local. 5 IN AAAA fd00:10:96::1",
		},
		// The question comes back as it was written, and so do the names of its records.
		{"wEB.deMo.svc.cLUSTER.local.", wire.TypeA, "NOERROR aa \nanswer: wEB.deMo.svc.cLUSTER.local. 5 IN A 10.96.0.1"},

		// RFC 2308: no such name, no data of the type, no data at all (an empty non-terminal, RFC 8020).
		{"nobody.demo.svc.cluster.local.", wire.TypeA, "NXDOMAIN aa" + soa},
		{"below.web.demo.svc.cluster.local.", wire.TypeA, "NXDOMAIN aa" + soa},
		{"web.demo.svc.cluster.local.", wire.TypeTXT, "NOERROR aa" + soa},
		{"demo.svc.cluster.local.", wire.TypeA, "NOERROR aa" + soa},
		{"_tcp.web.demo.svc.cluster.local.", wire.TypeSRV, "NOERROR aa" + soa},
		{"2.0.96.10.in-addr.arpa.", wire.TypePTR, "NXDOMAIN aa" + soa10},
		{"0.96.10.in-addr.arpa.", wire.TypePTR, "NOERROR aa" + soa10},
		{"cluster.local.", wire.TypeA, "NOERROR aa" + soa},

		// Aliases are followed as far as the zones go; the response code is the last name's (RFC 6604).
		{"out.demo.svc.cluster.local.", wire.TypeA, "NOERROR aa \nanswer: out.demo.svc.cluster.local. 5 IN CNAME www.example.com."},
		{"in.demo.svc.cluster.local.", wire.TypeCNAME, "NOERROR aa \nanswer: in.demo.svc.cluster.local. 5 IN CNAME web.demo.svc.cluster.local."},
		{
			"far.demo.svc.cluster.local.", wire.TypeA,
			"NOERROR aa \nanswer: far.demo.svc.cluster.local. 5 IN CNAME in.demo.svc.cluster.local." +
				" \nanswer: in.demo.svc.cluster.local. 5 IN CNAME web.demo.svc.cluster.local." +
				" \nanswer: web.demo.svc.cluster.local. 5 IN A 10.96.0.1",
		},
		{
			"in.demo.svc.cluster.local.", wire.TypeTXT,
			"NOERROR aa \nanswer: in.demo.svc.cluster.local. 5 IN CNAME web.demo.svc.cluster.local." + soa,
		},
		{
			"lost.demo.svc.cluster.local.", wire.TypeA,
			"NXDOMAIN aa \nanswer: lost.demo.svc.cluster.local. 5 IN CNAME nobody.demo.svc.cluster.local." + soa,
		},
		{
			"across.demo.svc.cluster.local.", wire.TypePTR,
			"NOERROR aa \nanswer: 1.0.96.10.in-addr.arpa. 5 IN PTR web.demo.svc.cluster.local." +
				" \nanswer: across.demo.svc.cluster.local. 5 IN CNAME 1.0.96.10.in-addr.arpa.",
		},
		{
			"loop.demo.svc.cluster.local.", wire.TypeA,
			"NOERROR aa \nanswer: loop.demo.svc.cluster.local. 5 IN CNAME loop2.demo.svc.cluster.local." +
				" \nanswer: loop2.demo.svc.cluster.local. 5 IN CNAME loop.demo.svc.cluster.local.",
		},

		// RFC 8482: not everything at once.
		{"web.demo.svc.cluster.local.", wire.TypeANY, `NOERROR aa ` + "\n" + `answer: web.demo.svc.cluster.local. 5 IN HINFO "RFC8482" ""`},
		{"out.demo.svc.cluster.local.", wire.TypeANY, "NOERROR aa \nanswer: out.demo.svc.cluster.local. 5 IN CNAME www.example.com."},
		{"demo.svc.cluster.local.", wire.TypeANY, "NOERROR aa" + soa},
		{"nobody.demo.svc.cluster.local.", wire.TypeANY, "NXDOMAIN aa" + soa},

		// What is not ours, and what is nobody's.
		{"www.example.com.", wire.TypeA, "REFUSED"},
		{"local.", wire.TypeA, "REFUSED"},
		{"notcluster.local.", wire.TypeA, "REFUSED"},
		{".", wire.TypeNS, "REFUSED"},
		{"cluster.local.", wire.TypeAXFR, "REFUSED"},
		{"cluster.local.", wire.TypeIXFR, "REFUSED"},
	} {
		m := question(q.name, q.typ)
		r := reply(t, x, m, true)
		if d := cmp.Diff(q.want, shown(r)); d != "" {
			t.Errorf("%s %s (-want +got):\n%s", q.name, wire.TypeToString[q.typ], d)
		}
		if !slices.Equal(r.Question, m.Question) {
			t.Errorf("%s: the question came back as %v", q.name, r.Question)
		}
		if r.RecursionAvailable || !r.Response || r.Id != m.Id || !r.RecursionDesired {
			t.Errorf("%s %s: header %+v", q.name, wire.TypeToString[q.typ], r.MsgHdr)
		}
	}
}

func TestOddMessages(t *testing.T) {
	x := indexOf(t)
	const name = "web.demo.svc.cluster.local."
	for _, q := range []struct {
		what   string
		change func(*wire.Msg)
		want   string
	}{
		{"a response", func(m *wire.Msg) { m.Response = true }, "silence"},
		{"another operation", func(m *wire.Msg) { m.Opcode = wire.OpcodeNotify }, "NOTIMP"},
		{"an update", func(m *wire.Msg) { m.Opcode = wire.OpcodeUpdate }, "NOTIMP"},
		{"no question", func(m *wire.Msg) { m.Question = nil }, "FORMERR"},
		{"two questions", func(m *wire.Msg) { m.Question = append(m.Question, m.Question[0]) }, "FORMERR"},
		{"a question with an answer", func(m *wire.Msg) { m.Answer = []wire.RR{minimal(name, 1)} }, "FORMERR"},
		{"a question with an authority", func(m *wire.Msg) { m.Ns = []wire.RR{minimal(name, 1)} }, "FORMERR"},
		{"a question with three more records", func(m *wire.Msg) { m.Extra = slices.Repeat([]wire.RR{minimal(name, 1)}, 3) }, "FORMERR"},
		{"two OPTs", func(m *wire.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }, "FORMERR"},
		{"another EDNS version", func(m *wire.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }, "BADVERS"},
		{"class CHAOS", func(m *wire.Msg) { m.Question[0].Qclass = wire.ClassCHAOS }, "REFUSED"},
		{"class ANY", func(m *wire.Msg) { m.Question[0].Qclass = wire.ClassANY }, "REFUSED"},
		{"a record nobody asked for", func(m *wire.Msg) { m.Extra = []wire.RR{minimal(name, 1)} }, "NOERROR aa \nanswer: " + name + " 5 IN A 10.96.0.1"},
	} {
		m := question(name, wire.TypeA)
		q.change(m)
		r := reply(t, x, m, true)
		if got := strings.ReplaceAll(shown(r), "BADSIG", "BADVERS"); got != q.want { // 16 has two names
			t.Errorf("%s: got %s, want %s", q.what, got, q.want)
		}
		if r != nil && (r.Id != m.Id || r.Opcode != m.Opcode) {
			t.Errorf("%s: header %+v", q.what, r.MsgHdr)
		}
	}
	for _, short := range [][]byte{nil, {0}, make([]byte, headerSize-1)} {
		if out := x.reply(short, nil, true); out != nil {
			t.Errorf("%d bytes got the answer %x", len(short), out)
		}
	}
	// A header that promises a question, and none: the header comes back.
	out := x.reply([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, nil, true)
	if want := []byte{0xab, 0xcd, 0x81, wire.RcodeFormatError, 0, 0, 0, 0, 0, 0, 0, 0}; !bytes.Equal(out, want) {
		t.Errorf("got %x, want %x", out, want)
	}
}

func TestEDNS(t *testing.T) {
	x := indexOf(t)
	m := question("web.demo.svc.cluster.local.", wire.TypeA)
	if r := reply(t, x, m, true); r.IsEdns0() != nil {
		t.Error("EDNS for a client that has none")
	}
	m.SetEdns0(4096, true)
	r := reply(t, x, m, true)
	if opt := r.IsEdns0(); opt == nil || opt.UDPSize() != maxUDP || !opt.Do() || opt.Version() != 0 {
		t.Errorf("got %v", opt)
	}
}

// TestSizes: an answer fits what the client takes and never more than the limit; what was cut says so.
func TestSizes(t *testing.T) {
	x := indexOf(t)
	for _, q := range []struct {
		name      string
		typ       uint16
		udp       bool
		size      uint16 // of EDNS; 0: none
		limit     int
		truncated bool
	}{
		{"many.demo.svc.cluster.local.", wire.TypeA, true, 0, 512, true},
		{"many.demo.svc.cluster.local.", wire.TypeA, true, 100, 512, true},
		{"many.demo.svc.cluster.local.", wire.TypeA, true, 1000, 1000, true},
		{"many.demo.svc.cluster.local.", wire.TypeA, true, 65535, 1232, true},
		{"many.demo.svc.cluster.local.", wire.TypeA, false, 0, 65535, false},
		{"_p._tcp.many.demo.svc.cluster.local.", wire.TypeSRV, true, 65535, 1232, true},
		// 2,000 server records are larger than any message.
		{"_p._tcp.many.demo.svc.cluster.local.", wire.TypeSRV, false, 0, 65535, true},
		{"three.demo.svc.cluster.local.", wire.TypeA, true, 0, 512, false},
	} {
		m := question(q.name, q.typ)
		if q.size > 0 {
			m.SetEdns0(q.size, false)
		}
		query, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out := x.reply(query, make([]byte, maxUDP+1), q.udp)
		r := new(wire.Msg)
		if err := r.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if len(out) > q.limit || r.Truncated != q.truncated || len(r.Answer) == 0 || r.Rcode != wire.RcodeSuccess {
			t.Errorf("%s, %d bytes offered: %d bytes, %d records, truncated %t", q.name, q.size, len(out), len(r.Answer), r.Truncated)
		}
		if q.truncated && len(out) < q.limit-100 {
			t.Errorf("%s, %d bytes offered: only %d bytes of %d", q.name, q.size, len(out), q.limit)
		}
		if (r.IsEdns0() != nil) != (q.size > 0) {
			t.Errorf("%s, %d bytes offered: EDNS %v", q.name, q.size, r.IsEdns0())
		}
		if !q.udp && q.typ == wire.TypeA && len(r.Answer) != 2000 {
			t.Errorf("%d of 2000 records over TCP", len(r.Answer))
		}
	}
}

// TestAdditionalIsNotNecessary: where the addresses of servers do not fit, the answer is whole without them (RFC 2181,
// section 9).
func TestAdditionalIsNotNecessary(t *testing.T) {
	zones := example()
	records := zones.Zones[0].Records[:2:2]
	for _, r := range zones.Zones[0].Records {
		if r.Name == "_p._tcp.many.demo.svc.cluster.local" && len(records) < 9 || r.Name == "many.demo.svc.cluster.local" && len(records) < 40 {
			records = append(records, r)
		}
	}
	zones.Zones[0].Records = records
	x, err := newIndex(zones.Zones)
	if err != nil {
		t.Fatal(err)
	}
	r := reply(t, x, question("_p._tcp.many.demo.svc.cluster.local.", wire.TypeSRV), true)
	if r.Truncated || len(r.Answer) < 3 || len(r.Extra) != 0 {
		t.Errorf("truncated %t, %d answers, %d additional", r.Truncated, len(r.Answer), len(r.Extra))
	}
}

// TestRotation: every address comes first at times, and none is left out.
func TestRotation(t *testing.T) {
	x := indexOf(t)
	first := map[string]int{}
	for range 300 {
		r := reply(t, x, question("three.demo.svc.cluster.local.", wire.TypeA), true)
		if len(r.Answer) != 3 {
			t.Fatalf("%d records", len(r.Answer))
		}
		first[r.Answer[0].(*wire.A).A.String()]++
	}
	for i := range 3 {
		if n := first[fmt.Sprintf("10.1.0.%d", i+1)]; n < 50 { // 100 expected; below 50 once in 10^10
			t.Errorf("10.1.0.%d was first %d times of 300", i+1, n)
		}
	}
}

// FuzzReply: whatever a stranger sends, there is no answer, or one that fits, has the query's id and is a message.
func FuzzReply(f *testing.F) {
	for _, m := range []*wire.Msg{
		question("web.demo.svc.cluster.local.", wire.TypeA), question("far.demo.svc.cluster.local.", wire.TypeANY),
		question("_p._tcp.many.demo.svc.cluster.local.", wire.TypeSRV), question(".", wire.TypeAXFR),
	} {
		m.SetEdns0(4096, true)
		query, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(query, true)
		f.Add(query[:len(query)-3], false)
	}
	x := indexOf(f)
	f.Fuzz(func(t *testing.T, query []byte, udp bool) {
		out := x.reply(query, make([]byte, 0, 2048), udp)
		if out == nil {
			return
		}
		r := new(wire.Msg)
		if err := r.Unpack(out); err != nil {
			t.Fatalf("the answer to %x is no message: %v", query, err)
		}
		if !bytes.Equal(out[:2], query[:2]) || !r.Response || r.RecursionAvailable || udp && len(out) > maxUDP {
			t.Errorf("%x got %x", query, out)
		}
	})
}
