package nft

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/foreign"
)

// readForeign loads a ruleset with nft and reads what is not ours.
func readForeign(t *testing.T, c *Conn, ruleset string) *foreign.Ruleset {
	t.Helper()
	nftCommand(t, ruleset, "-f", "-")
	rs, err := c.Foreign(t.Context(), "svcctl", 0)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func number(first, last uint32) foreign.Range {
	return foreign.Range{First: foreign.Number(first), Last: foreign.Number(last)}
}

func addresses(first, last string) foreign.Range {
	return foreign.Range{
		First: foreign.Address(netip.MustParseAddr(first)), Last: foreign.Address(netip.MustParseAddr(last)),
	}
}

// What nft writes for a rule is what is read of it. What is not understood may match or not, and never goes missing.
func TestForeignRules(t *testing.T) {
	needNFT(t)
	accept, drop := foreign.Verdict{Op: foreign.Accept}, foreign.Verdict{Op: foreign.Drop}
	tcp := foreign.Match{Field: foreign.Protocol, In: []foreign.Range{number(6, 6)}}
	port := func(r ...foreign.Range) foreign.Match { return foreign.Match{Field: foreign.DestinationPort, In: r} }
	v4 := foreign.Match{Field: foreign.NetworkFamily, In: []foreign.Range{number(2, 2)}}
	daddr := func(not bool, r ...foreign.Range) foreign.Match {
		return foreign.Match{Field: foreign.Destination, Not: not, In: r}
	}
	for _, tt := range []struct {
		family, rule string
		want         []foreign.Term
	}{
		{"ip", "tcp dport 80 accept", []foreign.Term{tcp, port(number(80, 80)), accept}},
		{"ip", "tcp dport != 80 counter drop", []foreign.Term{tcp, foreign.Match{Field: foreign.DestinationPort, Not: true, In: []foreign.Range{number(80, 80)}}, drop}},
		{"ip", "tcp dport 8000-9000 accept", []foreign.Term{
			tcp,
			foreign.Match{Field: foreign.DestinationPort, In: []foreign.Range{{First: foreign.Number(8000), Last: highestValue()}}},
			foreign.Match{Field: foreign.DestinationPort, In: []foreign.Range{{Last: foreign.Number(9000)}}},
			accept,
		}},
		{"ip", "tcp dport { 22, 80, 8000-9000 } accept", []foreign.Term{tcp, port(number(22, 22), number(80, 80), number(8000, 9000)), accept}},
		{"ip", "tcp sport 80 accept", []foreign.Term{tcp, foreign.Unknown{}, accept}},
		{"ip", "ip daddr 10.1.0.0/16 accept", []foreign.Term{daddr(false, addresses("10.1.0.0", "10.1.255.255")), accept}},
		{"ip", "ip daddr 10.1.2.0/23 accept", []foreign.Term{daddr(false, addresses("10.1.2.0", "10.1.3.255")), accept}},
		{"ip", "ip daddr != 10.1.2.3 accept", []foreign.Term{daddr(true, addresses("10.1.2.3", "10.1.2.3")), accept}},
		{"ip", "ip daddr { 10.1.2.3, 10.2.0.0/16 } drop", []foreign.Term{daddr(false, addresses("10.1.2.3", "10.1.2.3"), addresses("10.2.0.0", "10.2.255.255")), drop}},
		{"ip", "ip saddr 10.1.2.3 accept", []foreign.Term{foreign.Unknown{}, accept}},
		{"inet", "ip daddr 10.1.2.3 drop", []foreign.Term{v4, daddr(false, addresses("10.1.2.3", "10.1.2.3")), drop}},
		{"ip6", "ip6 daddr fd00::/64 drop", []foreign.Term{daddr(false, addresses("fd00::", "fd00::ffff:ffff:ffff:ffff")), drop}},
		{"ip6", "ip6 daddr fd00::1 drop", []foreign.Term{daddr(false, addresses("fd00::1", "fd00::1")), drop}},
		{"ip", `iifname "eth0" accept`, []foreign.Term{foreign.MatchInterface{Names: []string{"eth0"}}, accept}},
		{"ip", `oifname != "veth*" accept`, []foreign.Term{foreign.MatchInterface{Out: true, Not: true, Names: []string{"veth*"}}, accept}},
		{"ip", `iif lo accept`, []foreign.Term{foreign.MatchInterface{Names: []string{"lo"}}, accept}},
		{"ip", `iifname { "eth0", "eth1" } accept`, []foreign.Term{foreign.MatchInterface{Names: []string{"eth0", "eth1"}}, accept}},
		{"ip", "ct state established,related accept", []foreign.Term{
			foreign.MatchBits{Field: foreign.State, Bits: foreign.StateEstablished | foreign.StateRelated}, accept,
		}},
		{"ip", "ct status dnat accept", []foreign.Term{foreign.MatchBits{Field: foreign.Status, Bits: foreign.StatusDNAT}, accept}},
		{"ip", "ct state vmap { established : accept, invalid : drop }", []foreign.Term{foreign.VerdictMap{
			Field: foreign.State, Entries: []foreign.VerdictEntry{
				{In: number(1, 1), Verdict: drop}, {In: number(2, 2), Verdict: accept},
			},
		}}},
		{"ip", "fib daddr type local drop", []foreign.Term{foreign.Match{Field: foreign.DestinationType, In: []foreign.Range{number(2, 2)}}, drop}},
		{"ip", "fib saddr . iif oif missing drop", []foreign.Term{foreign.Unknown{}, drop}},
		{"ip", "meta mark set 7 counter", nil},
		{"ip", "meta mark 7 drop", []foreign.Term{foreign.Unknown{}, drop}},
		{"ip", "limit rate 1/second accept", []foreign.Term{foreign.Unknown{}, accept}},
		{"ip", "jump other", []foreign.Term{foreign.Verdict{Op: foreign.Jump, Chain: "other"}}},
		{"ip", "goto other", []foreign.Term{foreign.Verdict{Op: foreign.Goto, Chain: "other"}}},
		{"ip", "return", []foreign.Term{foreign.Verdict{Op: foreign.Return}}},
		{"ip", "reject", []foreign.Term{foreign.Verdict{Op: foreign.Reject}}},
		{"inet", "reject with icmpx admin-prohibited", []foreign.Term{foreign.Verdict{Op: foreign.Reject}}},
		{"ip", "notrack", []foreign.Term{foreign.Verdict{Op: foreign.NoTrack}}},
		{"ip", "ip daddr . tcp dport { 10.1.2.3 . 80 } drop", []foreign.Term{tcp, foreign.Unknown{}, drop}},
		{"ip", "ip daddr @named drop", []foreign.Term{daddr(false, addresses("192.0.2.0", "192.0.2.255")), drop}},
		{"ip", "ip daddr @banned drop", []foreign.Term{foreign.Unknown{}, drop}},
		{"ip", "ip daddr != @named accept", []foreign.Term{daddr(true, addresses("192.0.2.0", "192.0.2.255")), accept}},
	} {
		t.Run(tt.family+" "+tt.rule, func(t *testing.T) {
			c := openPrivate(t)
			sets := "set named { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }\n" +
				"set banned { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h }; }\n"
			if tt.family == "ip6" {
				sets = ""
			}
			hook := "forward priority 0"
			switch {
			case tt.rule == "notrack":
				hook = "prerouting priority -300"
			case strings.HasPrefix(tt.rule, "fib"):
				hook = "prerouting priority 0"
			}
			rs := readForeign(t, c, fmt.Sprintf("table %s t {\n%schain other { }\nchain c { type filter hook %s; policy drop; %s; }\n}", tt.family, sets, hook, tt.rule))
			if len(rs.Tables) != 1 {
				t.Fatalf("%d tables, want 1", len(rs.Tables))
			}
			chain := rs.Tables[0].Chain("c")
			if chain == nil || chain.Base == nil || !chain.Base.Drop || len(chain.Rules) != 1 {
				t.Fatalf("got %+v", chain)
			}
			if got := chain.Rules[0].Terms; fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got\n%v\nwant\n%v", got, tt.want)
			}
		})
	}
}

func highestValue() (v foreign.Value) {
	for i := range v {
		v[i] = 0xff
	}
	return v
}

// Rules of iptables-nft have extensions in the form that the kernel has had for them since before nftables.
func TestForeignRulesOfIptables(t *testing.T) {
	if _, err := exec.LookPath("iptables-nft"); err != nil {
		t.Skipf("needs iptables: %v", err)
	}
	tcp := foreign.Match{Field: foreign.Protocol, In: []foreign.Range{number(6, 6)}}
	for _, tt := range []struct {
		rule string
		want []foreign.Term
	}{
		{"-t filter -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", []foreign.Term{
			foreign.MatchBits{Field: foreign.State, Bits: foreign.StateRelated | foreign.StateEstablished}, foreign.Verdict{Op: foreign.Accept},
		}},
		{"-t filter -A FORWARD -m conntrack ! --ctstate NEW -j DROP", []foreign.Term{
			foreign.MatchBits{Field: foreign.State, Not: true, Bits: foreign.StateNew}, foreign.Verdict{Op: foreign.Drop},
		}},
		{"-t filter -A FORWARD -m conntrack --ctstate DNAT -j ACCEPT", []foreign.Term{
			foreign.MatchBits{Field: foreign.Status, Bits: foreign.StatusDNAT}, foreign.Verdict{Op: foreign.Accept},
		}},
		{"-t filter -A FORWARD -m conntrack --ctstate NEW --ctorigdst 10.0.0.1 -j ACCEPT", []foreign.Term{
			foreign.Unknown{}, foreign.Verdict{Op: foreign.Accept},
		}},
		{"-t filter -A FORWARD -i eth+ ! -o docker0 -m comment --comment x -j REJECT", []foreign.Term{
			foreign.MatchInterface{Names: []string{"eth*"}},
			foreign.MatchInterface{Out: true, Not: true, Names: []string{"docker0"}},
			foreign.Verdict{Op: foreign.Reject},
		}},
		{"-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j RETURN", []foreign.Term{
			foreign.Match{Field: foreign.DestinationType, In: []foreign.Range{number(2, 2)}}, foreign.Verdict{Op: foreign.Return},
		}},
		{"-t nat -A PREROUTING -d 10.0.0.1/32 -p tcp -m tcp --dport 80:90 -j DNAT --to-destination 10.1.0.1:80", []foreign.Term{
			tcp,
			foreign.Match{Field: foreign.Destination, In: []foreign.Range{addresses("10.0.0.1", "10.0.0.1")}},
			foreign.Match{Field: foreign.DestinationPort, In: []foreign.Range{number(80, 90)}},
			foreign.Verdict{Op: foreign.Translate},
		}},
		{"-t nat -A PREROUTING -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 3128", []foreign.Term{
			tcp, foreign.Unknown{}, foreign.Verdict{Op: foreign.Translate},
		}},
		{"-t mangle -A PREROUTING -p tcp -j MARK --set-mark 7", []foreign.Term{tcp}},
		{"-t raw -A PREROUTING -p tcp -j CT --notrack", []foreign.Term{tcp, foreign.Verdict{Op: foreign.NoTrack}}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			c := openPrivate(t)
			if out, err := exec.CommandContext(t.Context(), "iptables-nft", strings.Fields(tt.rule)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			rs, err := c.Foreign(t.Context(), "svcctl", 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []foreign.Term
			for _, table := range rs.Tables {
				for _, chain := range table.Chains {
					for _, r := range chain.Rules {
						got = append(got, r.Terms...)
					}
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got\n%v\nwant\n%v", got, tt.want)
			}
		})
	}
}

// Tables of our name, and those that are switched off, decide nothing.
func TestForeignTables(t *testing.T) {
	needNFT(t)
	c := openPrivate(t)
	rs := readForeign(t, c, `table ip svcctl { chain c { type filter hook forward priority 0; policy drop; }; }
table ip off { flags dormant; chain c { type filter hook forward priority 0; policy drop; }; }
table arp a { chain c { type filter hook input priority 0; }; }
table inet svcctl { chain c { type nat hook prerouting priority -99; }; }
table ip other {
	map services { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.96.0.1 . tcp . 80 : drop }; }
	map ports { type inet_proto . inet_service : verdict; elements = { udp . 53 : drop }; }
	map more { type ipv4_addr : verdict; elements = { 10.96.0.1 : drop }; }
}`)
	var names []string
	for _, table := range rs.Tables {
		names = append(names, table.Family.String()+" "+table.Name)
	}
	if got := strings.Join(names, ", "); got != "inet svcctl, ip other" {
		t.Fatalf("got %s", got)
	}
	b := rs.Tables[0].Chains[0].Base
	if b.Type != "nat" || b.Hook != foreign.Prerouting || b.Priority != -99 || b.Drop {
		t.Errorf("got %+v", b)
	}
	want := "[{0.0.0.0 17 53 ports} {10.96.0.1 6 80 services}]"
	if got := fmt.Sprint(rs.Tables[1].Services); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	quick, err := c.Foreign(t.Context(), "svcctl", 1)
	if err != nil || quick.Tables[1].Services != nil && len(quick.Tables[0].Chains) > 1 {
		t.Errorf("a quick look at more chains than it takes: %+v, %v", quick, err)
	}
}
