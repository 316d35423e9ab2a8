package render

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
)

func nftText(t testing.TB, rs *graph.Ruleset) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := NFT(&b, rs); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// loadable leaves out the rules that nft 1.0.6 aborts on: IPv6 map updates with a concatenated key.
func loadable(rs *graph.Ruleset) *graph.Ruleset {
	out := &graph.Ruleset{}
	for _, t := range rs.Tables {
		if t.Family == graph.IPv6 {
			t = withoutRules(t, func(s graph.Stmt) bool { _, ok := s.(graph.Update); return ok })
		}
		out.Tables = append(out.Tables, t)
	}
	return out
}

// withoutRules gives the table without the rules that have some statement.
func withoutRules(t *graph.Table, drop func(graph.Stmt) bool) *graph.Table {
	out := *t
	out.Chains = nil
	for _, c := range t.Chains {
		kept := *c
		kept.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r graph.Rule) bool {
			return slices.ContainsFunc(r.Stmts, drop)
		})
		out.Chains = append(out.Chains, &kept)
	}
	return &out
}

// The listing of the graph is the listing of the program written by hand.
func TestNFTListsAsProgram(t *testing.T) {
	byHand, err := os.ReadFile("testdata/program.nft")
	if err != nil {
		t.Fatal(err)
	}
	list := func(script []byte) string {
		return mustNetns(t, map[string][]byte{"in.nft": script}, "nft -f in.nft; nft list ruleset")
	}
	want := list(byHand)
	// The two differences: merging of neighbours is nft's own affair, at load time, and a type named by an example
	// (typeof) is the same type.
	want = strings.ReplaceAll(want, "\t\tauto-merge\n", "")
	want = strings.ReplaceAll(want, "typeof ip saddr . ip daddr . meta l4proto . th dport : ip daddr . th dport",
		"type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service")
	got := list(nftText(t, &graph.Ruleset{Tables: []*graph.Table{program(graph.IPv4)}}))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-by hand +rendered)\n%s", d)
	}
}

// Both families load, loading again changes nothing, and what nft lists loads to the same listing.
func TestNFTFixpoint(t *testing.T) {
	text := nftText(t, loadable(programs()))
	files := map[string][]byte{"in.nft": text}
	out := mustNetns(t, files, `
		nft -c -f in.nft
		nft -f in.nft; nft list ruleset >once
		nft -f in.nft; nft list ruleset >twice
		nft flush ruleset; nft -f once; nft list ruleset >relisted
		cmp once twice; cmp once relisted; cat once`)
	for _, table := range []string{"table ip svcctl {", "table ip6 svcctl {"} {
		if !strings.Contains(out, table) {
			t.Errorf("no %q in the listing", table)
		}
	}
}

// Every element, set, map, chain and rule of the graph arrives in the kernel.
func TestNFTCounts(t *testing.T) {
	rs := loadable(programs())
	out := mustNetns(t, map[string][]byte{"in.nft": nftText(t, rs)}, "nft -f in.nft; nft -j list ruleset 2>/dev/null")
	var sets, chains, rules int
	for _, table := range rs.Tables {
		sets += len(table.Sets)
		chains += len(table.Chains)
		for _, c := range table.Chains {
			rules += len(c.Rules)
		}
	}
	for _, c := range []struct {
		object string
		want   int
	}{{`{"(set|map)": {"family"`, sets}, {`{"chain": {"family"`, chains}, {`{"rule": {"family"`, rules}} {
		if got := len(regexp.MustCompile(c.object).FindAllString(out, -1)); got != c.want {
			t.Errorf("%d of %s, want %d", got, c.object, c.want)
		}
	}
}

// Interval sets load whatever their size.
func TestNFTManyIntervals(t *testing.T) {
	n := 10_000
	if !forcesBuffers() {
		n = 2_000 // what a batch can hold in a user namespace
	}
	addr := func(i, last int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(last)}) }
	plain := &graph.Set{Name: "plain", Key: []graph.Field{graph.AddrField}, Interval: true}
	keyed := &graph.Set{
		Name: "keyed", Interval: true,
		Key: []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.AddrField},
	}
	for i := range n {
		plain.Elements.Append(graph.Element{Key: graph.Key{Addr: addr(i, 10), RangeTo: addr(i, 17)}})
		k := graph.Key{Addr: addr(0, 1), Proto: graph.TCP, Port: uint16(i + 1), Peer: addr(i, 10), RangeTo: addr(i, 17)}
		keyed.Elements.Append(graph.Element{Key: k})
	}
	for _, s := range []*graph.Set{plain, keyed} {
		t.Run(s.Name, func(t *testing.T) {
			table := &graph.Table{Family: graph.IPv4, Name: "t", Sets: []*graph.Set{s}}
			files := map[string][]byte{"in.nft": nftText(t, &graph.Ruleset{Tables: []*graph.Table{table}})}
			out := mustNetns(t, files, "nft -f in.nft; nft list ruleset")
			if got := strings.Count(out, ".10-10."); got != n {
				t.Errorf("%d ranges listed, want %d", got, n)
			}
		})
	}
}

// Whole families, single addresses, prefixes and ranges list as they were meant.
func TestNFTRanges(t *testing.T) {
	for _, c := range []struct{ first, last, want string }{
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
		{"10.0.0.1", "10.0.0.1", "10.0.0.1"},
		{"10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2"},
		{"10.0.0.2", "10.0.0.3", "10.0.0.2/31"},
		{"255.255.255.255", "255.255.255.255", "255.255.255.255"},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"},
		{"fd00::", "fd00::ffff", "fd00::/112"},
		{"fd00::1", "fd00::ffff", "fd00::1-fd00::ffff"},
		{"::", "::", "::"},
	} {
		t.Run(c.want, func(t *testing.T) {
			first, last := netip.MustParseAddr(c.first), netip.MustParseAddr(c.last)
			f := graph.IPv4
			if first.Is6() {
				f = graph.IPv6
			}
			plain := &graph.Set{
				Name: "plain", Key: []graph.Field{graph.AddrField}, Interval: true,
				Elements: graph.ElementsOf([]graph.Element{{Key: graph.Key{Addr: first, RangeTo: last}}}),
			}
			keyed := &graph.Set{
				Name: "keyed", Key: []graph.Field{graph.ProtoField, graph.AddrField}, Interval: true,
				Elements: graph.ElementsOf([]graph.Element{{Key: graph.Key{Proto: graph.SCTP, Addr: first, RangeTo: last}}}),
			}
			table := &graph.Table{Family: f, Name: "t", Sets: []*graph.Set{plain, keyed}}
			files := map[string][]byte{"in.nft": nftText(t, &graph.Ruleset{Tables: []*graph.Table{table}})}
			out := mustNetns(t, files, "nft -f in.nft; nft list ruleset")
			for _, want := range []string{"{ " + c.want + " }", "{ sctp . " + c.want + " }"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestTimeoutText(t *testing.T) {
	for _, c := range []struct {
		seconds int
		want    string
	}{{1, "1s"}, {60, "1m"}, {10800, "3h"}, {86400, "1d"}, {90061, "1d1h1m1s"}} {
		if got := string(appendTimeout(nil, time.Duration(c.seconds)*time.Second)); got != c.want {
			t.Errorf("%d s: %q, want %q", c.seconds, got, c.want)
		}
	}
}

// A name or comment that nft cannot take is refused, not written.
func TestNFTRefusesNames(t *testing.T) {
	for _, table := range []*graph.Table{
		{Name: ""},
		{Name: "a b"},
		{Name: "svcctl", Comment: `say "no"`},
		{Name: "svcctl", Comment: "two\nlines"},
		{Name: "svcctl", Comment: strings.Repeat("x", maxComment+1)},
		{Name: "svcctl", Sets: []*graph.Set{{Name: "a;b", Key: serviceFields}}},
		{Name: "svcctl", Chains: []*graph.Chain{{Name: "x { }"}}},
	} {
		rs := &graph.Ruleset{Tables: []*graph.Table{table}}
		for name, format := range map[string]func(*bytes.Buffer) error{
			"NFT":  func(b *bytes.Buffer) error { return NFT(b, rs) },
			"JSON": func(b *bytes.Buffer) error { return JSON(b, rs) },
		} {
			if err := format(&bytes.Buffer{}); err == nil {
				t.Errorf("%s accepts %+v", name, table)
			}
		}
	}
}

// The longest comment that is accepted is one that nft accepts.
func TestNFTLongestComment(t *testing.T) {
	comment := strings.Repeat("x", maxComment-1) + "#"
	rs := &graph.Ruleset{Tables: []*graph.Table{{Name: "svcctl", Comment: comment}}}
	out := mustNetns(t, map[string][]byte{"in.nft": nftText(t, rs)}, "nft -f in.nft; nft list ruleset")
	if !strings.Contains(out, comment) {
		t.Errorf("no comment in\n%s", out)
	}
}

func ownedService(namespace, name, port string) *graph.Ruleset {
	owner := &graph.Owner{Service: diag.Object{Kind: "service", Namespace: namespace, Name: name}, Port: port}
	set := &graph.Set{Name: graph.ServicesMap, Key: serviceFields, Data: []graph.Field{graph.VerdictField}}
	for i := range 2 {
		set.Elements.Append(graph.Element{
			Key:   graph.Key{Addr: netip.MustParseAddr("10.96.0.1"), Proto: graph.TCP, Port: uint16(80 + i)},
			Data:  graph.Data{Verdict: graph.Verdict{Op: graph.Drop}},
			Owner: owner,
		})
	}
	return &graph.Ruleset{Tables: []*graph.Table{{Name: "svcctl", Sets: []*graph.Set{set}}}}
}

// Whatever the names of services are, their comments stay comments: the script without them is always the same.
func FuzzComment(f *testing.F) {
	f.Add("demo", "web", "http")
	f.Add("demo", "x\n}\ndelete table ip svcctl\n", "\\")
	f.Add("\"", "#", "\r\n\u2028\x00\xff")
	f.Add("a", "\x85\x0b\x0c", "}")
	comment := regexp.MustCompile(`(?m) # [^\n]*$`)
	want := comment.ReplaceAll(nftText(f, ownedService("a", "b", "c")), nil)
	f.Fuzz(func(t *testing.T, namespace, name, port string) {
		got := nftText(t, ownedService(namespace, name, port))
		if d := cmp.Diff(string(want), string(comment.ReplaceAll(got, nil))); d != "" {
			t.Errorf("the comment broke out:\n%s", d)
		}
		for _, r := range string(got) {
			if r != '\n' && r != '\t' && (r < ' ' || r == 0x7f || r == '\\' || r == 0x85) {
				t.Errorf("%q in the script", r)
			}
		}
	})
}

// What the fuzzer cannot run in time: nft itself reads such names as comments.
func TestNFTHostileOwner(t *testing.T) {
	rs := ownedService("demo", "x\n}\nadd table ip evil\n\\", "\"; add table ip evil #\\\n")
	out := mustNetns(t, map[string][]byte{"in.nft": nftText(t, rs)}, "nft -f in.nft; nft list ruleset")
	if strings.Contains(out, "evil") || strings.Count(out, ": drop") != 2 {
		t.Errorf("loaded as\n%s", out)
	}
}

func TestNFTDeterministic(t *testing.T) {
	if !bytes.Equal(nftText(t, programs()), nftText(t, programs())) {
		t.Error("two renderings differ")
	}
}

type failingWriter struct{ after int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, fmt.Errorf("disk full")
	}
	return len(p), nil
}

func TestWriterError(t *testing.T) {
	big := largeRuleset(2000, 10)
	for name, format := range map[string]func(*failingWriter) error{
		"NFT":  func(w *failingWriter) error { return NFT(w, big) },
		"JSON": func(w *failingWriter) error { return JSON(w, big) },
	} {
		for _, after := range []int{0, 100_000} {
			if err := format(&failingWriter{after}); err == nil || err.Error() != "disk full" {
				t.Errorf("%s, full after %d bytes: error %v", name, after, err)
			}
		}
	}
}

// Owners are named on the elements of the services map, without a line number, and nowhere else.
func TestNFTNamesOwners(t *testing.T) {
	var lines []string
	for line := range strings.Lines(string(nftText(t, &graph.Ruleset{Tables: []*graph.Table{program(graph.IPv4)}}))) {
		if strings.Contains(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	want := []string{"10.96.0.1 . tcp . 80 : goto random-4, # demo/web port http"}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}
