package foreign

import (
	"net/netip"
	"testing"
)

var packet = Packet{
	To: netip.MustParseAddrPort("10.1.1.2:8080"), Proto: 6, In: "eth0", Out: "pod-1", Received: true, Tracked: true, Translated: true,
}

func one(v Value) []Range { return []Range{{v, v}} }

func to(prefix string) Match {
	p := netip.MustParsePrefix(prefix)
	last := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	return Match{Field: Destination, In: []Range{{Address(p.Addr()), Address(netip.AddrFrom4(last))}}}
}

func do(op Op) Verdict { return Verdict{Op: op} }

func rules(terms ...[]Term) []Rule {
	var out []Rule
	for _, t := range terms {
		out = append(out, Rule{t})
	}
	return out
}

func TestWalk(t *testing.T) {
	port := func(n uint32) Match { return Match{Field: DestinationPort, In: one(Number(n))} }
	not := func(m Match) Match { m.Not = true; return m }
	for _, tt := range []struct {
		name    string
		drop    bool // the chain policy
		rules   []Rule
		others  map[string][]Rule
		want    Op
		by      string
		certain bool // dropped whatever matches
	}{
		{name: "no rules", want: Accept, by: "the policy of chain c"},
		{name: "policy", drop: true, want: Drop, by: "the policy of chain c", certain: true},
		{
			name: "first that matches", rules: rules([]Term{port(22), do(Accept)}, []Term{port(8080), do(Drop)}, []Term{do(Accept)}),
			want: Drop, by: "rule 2 of chain c", certain: true,
		},
		{name: "not", rules: rules([]Term{not(port(22)), do(Reject)}), want: Reject, by: "rule 1 of chain c", certain: true},
		{name: "all terms", drop: true, rules: rules([]Term{to("10.1.0.0/16"), port(8080), do(Accept)}), want: Accept, by: "rule 1 of chain c"},
		{
			name: "one term does not", drop: true, rules: rules([]Term{to("10.2.0.0/16"), port(8080), do(Accept)}),
			want: Drop, by: "the policy of chain c", certain: true,
		},
		{name: "unknown may accept", drop: true, rules: rules([]Term{Unknown{}, do(Accept)}), want: Drop, by: "the policy of chain c"},
		{
			name: "unknown and a miss", drop: true, rules: rules([]Term{Unknown{}, port(22), do(Accept)}),
			want: Drop, by: "the policy of chain c", certain: true,
		},
		{name: "unknown may drop", rules: rules([]Term{Unknown{}, do(Drop)}), want: Accept, by: "the policy of chain c"},
		{
			name: "unknown drop before a certain one", rules: rules([]Term{Unknown{}, do(Accept)}, []Term{do(Drop)}),
			want: Drop, by: "rule 2 of chain c",
		},
		{name: "interface", drop: true, rules: rules([]Term{MatchInterface{Names: []string{"eth*"}}, do(Accept)}), want: Accept, by: "rule 1 of chain c"},
		{
			name: "no such interface", drop: true, rules: rules([]Term{MatchInterface{Out: true, Names: []string{"pod", "lo"}}, do(Accept)}),
			want: Drop, by: "the policy of chain c", certain: true,
		},
		{
			name: "state", drop: true, rules: rules([]Term{MatchBits{Field: State, Bits: StateEstablished | StateRelated}, do(Accept)}),
			want: Drop, by: "the policy of chain c", certain: true,
		},
		{
			name: "state without mask", rules: rules([]Term{Match{Field: State, In: one(Number(StateNew))}, do(Drop)}),
			want: Drop, by: "rule 1 of chain c", certain: true,
		},
		{name: "translated", drop: true, rules: rules([]Term{MatchBits{Field: Status, Bits: StatusDNAT}, do(Accept)}), want: Accept, by: "rule 1 of chain c"},
		{
			name: "not local", drop: true, rules: rules([]Term{Match{Field: DestinationType, In: one(Number(TypeLocal))}, do(Accept)}),
			want: Drop, by: "the policy of chain c", certain: true,
		},
		{
			name: "jump and return", rules: rules([]Term{Verdict{Jump, "a"}}, []Term{do(Drop)}),
			others: map[string][]Rule{"a": rules([]Term{port(8080), do(Return)}, []Term{do(Accept)})},
			want:   Drop, by: "rule 2 of chain c", certain: true,
		},
		{
			name: "jump to the end", rules: rules([]Term{Verdict{Jump, "a"}}, []Term{do(Drop)}),
			others: map[string][]Rule{"a": rules([]Term{port(22), do(Accept)})},
			want:   Drop, by: "rule 2 of chain c", certain: true,
		},
		{
			name: "goto does not come back", rules: rules([]Term{Verdict{Goto, "a"}}, []Term{do(Drop)}),
			others: map[string][]Rule{"a": nil}, want: Accept, by: "the policy of chain c",
		},
		{
			name: "goto out of a jump", rules: rules([]Term{Verdict{Jump, "a"}}, []Term{do(Drop)}),
			others: map[string][]Rule{"a": rules([]Term{Verdict{Goto, "b"}}, []Term{do(Accept)}), "b": nil},
			want:   Drop, by: "rule 2 of chain c", certain: true,
		},
		{
			name: "maybe there", drop: true, rules: rules([]Term{Unknown{}, Verdict{Jump, "a"}}),
			others: map[string][]Rule{"a": rules([]Term{do(Accept)})}, want: Drop, by: "the policy of chain c",
		},
		{
			name: "maybe goto", rules: rules([]Term{Unknown{}, Verdict{Goto, "a"}}, []Term{do(Drop)}),
			others: map[string][]Rule{"a": nil}, want: Drop, by: "rule 2 of chain c", certain: true,
		},
		{
			name: "loop of jumps", drop: true, rules: rules([]Term{Verdict{Jump, "a"}}),
			others: map[string][]Rule{"a": rules([]Term{Verdict{Jump, "a"}})}, want: Drop, by: "the policy of chain c",
		},
		{name: "chain that is not there", drop: true, rules: rules([]Term{Verdict{Jump, "a"}}), want: Drop, by: "the policy of chain c"},
		{name: "verdict map", rules: rules([]Term{VerdictMap{Field: DestinationPort, Entries: []VerdictEntry{
			{In: Range{Number(22), Number(22)}, Verdict: do(Accept)}, {In: Range{Number(8000), Number(9000)}, Verdict: do(Drop)},
		}}}), want: Drop, by: "rule 1 of chain c", certain: true},
		{name: "verdict map without it", drop: true, rules: rules([]Term{VerdictMap{Field: State, Entries: []VerdictEntry{
			{In: Range{Number(StateEstablished), Number(StateEstablished)}, Verdict: do(Accept)},
		}}}, []Term{port(22), do(Accept)}), want: Drop, by: "the policy of chain c", certain: true},
		{name: "verdict map of what is not known", drop: true, rules: rules([]Term{VerdictMap{Entries: []VerdictEntry{
			{Verdict: do(Accept)}, {Verdict: do(Drop)},
		}}}), want: Drop, by: "the policy of chain c"},
		{name: "translation", rules: rules([]Term{port(8080), do(Translate)}), want: Translate, by: "rule 1 of chain c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Chain{Name: "c", Base: &Base{Type: "filter", Hook: Forward, Drop: tt.drop}, Rules: tt.rules}
			table := &Table{Chains: []*Chain{c}}
			for name, r := range tt.others {
				table.Chains = append(table.Chains, &Chain{Name: name, Rules: r})
			}
			p := packet
			out := table.Walk(c, &p)
			if _, certain := out.Drops(); out.Otherwise != tt.want || out.By != tt.by || certain != tt.certain {
				t.Errorf("got %d by %q, certain %v, want %d by %q, %v", out.Otherwise, out.By, certain, tt.want, tt.by, tt.certain)
			}
		})
	}
}

// What is not known of a packet matches or not.
func TestWalkOfUnknownPacket(t *testing.T) {
	for _, tt := range []struct {
		name string
		term Term
		set  func(*Packet)
	}{
		{"state before connection tracking", MatchBits{Field: State, Bits: StateNew}, func(p *Packet) { p.Tracked = false }},
		{"status of somebody else's", MatchBits{Field: Status, Bits: StatusDNAT}, func(p *Packet) { p.Translated = false }},
		{"outgoing interface", MatchInterface{Out: true, Names: []string{"eth1"}}, func(p *Packet) { p.Out = "" }},
		{"another field", Match{Field: Other, In: one(Number(1))}, func(*Packet) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Chain{Name: "c", Base: &Base{Drop: true}, Rules: rules([]Term{tt.term, do(Accept)})}
			p := packet
			tt.set(&p)
			out := (&Table{Chains: []*Chain{c}}).Walk(c, &p)
			if mostly, certainly := out.Drops(); !mostly || certainly {
				t.Errorf("got %+v, want that it may be accepted", out)
			}
		})
	}
	// The host's own packets have come by no interface.
	p := packet
	p.In, p.Received = "", false
	c := &Chain{Name: "c", Base: &Base{Drop: true}, Rules: rules([]Term{MatchInterface{Names: []string{"eth0"}}, do(Accept)})}
	out := (&Table{Chains: []*Chain{c}}).Walk(c, &p)
	if _, certainly := out.Drops(); !certainly {
		t.Errorf("got %+v, want a drop", out)
	}
}

func TestNoTrack(t *testing.T) {
	for _, tt := range []struct {
		terms []Term
		want  bool
	}{
		{[]Term{do(NoTrack)}, true},
		{[]Term{Unknown{}, do(NoTrack)}, false},
	} {
		c := &Chain{Name: "c", Base: &Base{}, Rules: rules(tt.terms)}
		p := packet
		if out := (&Table{Chains: []*Chain{c}}).Walk(c, &p); out.Untracked != tt.want || out.Otherwise != Accept {
			t.Errorf("%v: got %+v", tt.terms, out)
		}
	}
}
