package render

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// reviewed is a change to a Service of any name, and one that is only new.
func reviewed(namespace, name, port string) (*plan.Plan, *behaviour.Diff) {
	owner := &graph.Owner{Service: diag.Object{Kind: "service", Namespace: namespace, Name: name}, Port: port}
	address := func(addr string, endpoints ...string) *behaviour.Address {
		a := &behaviour.Address{
			Key: behaviour.Key{Addr: netip.MustParseAddr(addr), Proto: graph.TCP, Port: 80}, Owner: owner, Shape: "random-1",
		}
		for c := range a.Reach {
			for _, e := range endpoints {
				a.Reach[c].Shares = append(a.Reach[c].Shares,
					behaviour.Share{Endpoint: netip.MustParseAddrPort(e), Part: 1 / float64(len(endpoints))})
			}
		}
		return a
	}
	before := &behaviour.Behaviour{Addresses: []behaviour.Address{*address("10.96.0.1", "10.1.0.1:8080", "10.1.0.2:8080")}}
	after := &behaviour.Behaviour{Addresses: []behaviour.Address{
		*address("10.96.0.1", "10.1.0.1:8080"), *address("10.96.0.2", "10.1.0.3:8080"),
	}}
	return &plan.Plan{Tables: []plan.TableChange{{Op: plan.Update, Name: "svcctl"}}}, behaviour.Compare(before, after, nil)
}

// manyEndpoints is an address with n endpoints that gets one more.
func manyEndpoints(n int) *behaviour.Diff {
	list := func(n int) *behaviour.Behaviour {
		a := behaviour.Address{Key: behaviour.Key{Addr: netip.MustParseAddr("10.96.0.1"), Proto: graph.TCP, Port: 80}, Shape: "s"}
		addr := netip.MustParseAddr("10.1.0.1")
		for range n {
			for c := range a.Reach {
				a.Reach[c].Shares = append(a.Reach[c].Shares,
					behaviour.Share{Endpoint: netip.AddrPortFrom(addr, 80), Part: 1 / float64(n)})
			}
			addr = addr.Next()
		}
		return &behaviour.Behaviour{Addresses: []behaviour.Address{a}}
	}
	return behaviour.Compare(list(n), list(n+1), nil)
}

// A reader counts what he cannot read: the text does not grow with the number of endpoints.
func TestReviewOfManyEndpoints(t *testing.T) {
	p, _ := reviewed("demo", "web", "http")
	for n, want := range map[int]string{
		30:   "~ 30 endpoints that stay: 3.3% each -> 3.2% each\n",
		1999: "~ 0.05% of new connections go to another endpoint\n",
	} {
		text := written(t, func(w io.Writer) error { return ReviewText(w, p, manyEndpoints(n), ReviewOptions{}) })
		if !strings.Contains(text, want) || strings.Count(text, "\n") > 10 {
			t.Errorf("%d endpoints: %s", n, text)
		}
	}
	back := behaviour.Compare(&behaviour.Behaviour{}, &behaviour.Behaviour{
		Addresses: []behaviour.Address{*manyEndpoints(100).Services[0].Addresses[0].After},
	}, nil)
	text := written(t, func(w io.Writer) error { return ReviewText(w, p, back, ReviewOptions{}) })
	if !strings.Contains(text, "+ 81 more endpoints\n") || strings.Count(text, "endpoint 10.1.") != maxEndpoints {
		t.Error(text)
	}
}

// A comment has a largest size, and what is left out is said.
func TestReviewMarkdownIsBounded(t *testing.T) {
	p, one := reviewed("demo", "web", "http")
	many := &behaviour.Diff{}
	for range 5000 {
		many.Services = append(many.Services, one.Services[0])
	}
	text := written(t, func(w io.Writer) error { return ReviewMarkdown(w, p, many, ReviewOptions{}) })
	if len(text) > 65_000 || !strings.Contains(text, "| | | and 4900 more |\n") ||
		!strings.Contains(text, " more, which svcctl diff shows without -o markdown\n") {
		t.Errorf("%d bytes: %.2000s", len(text), text)
	}
}

// Where the program itself changes, what the elements say of before may not have been so.
func TestReviewOfTheProgram(t *testing.T) {
	dispatch := &graph.Chain{Name: "dispatch"}
	base := &graph.Chain{Name: "nat-input", Hook: &graph.Hook{Point: graph.Input}}
	shape := &graph.Chain{Name: "random-4"}
	p := &plan.Plan{Tables: []plan.TableChange{
		{
			Op: plan.Update, Family: graph.IPv4, Name: "svcctl", AddChains: []*graph.Chain{base, shape},
			SetRules: []*graph.Chain{dispatch, base, shape},
		},
		{Op: plan.Replace, Family: graph.IPv6, Name: "svcctl", SetRules: []*graph.Chain{dispatch}},
	}}
	got := written(t, func(w io.Writer) error { return ReviewText(w, p, &behaviour.Diff{}, ReviewOptions{}) })
	want := `no service address behaves otherwise
~ table ip svcctl: the program itself changes, in the chains dispatch, nat-input (-o rules shows how)
~ table ip6 svcctl is made again
rules: 0 elements added, 0 deleted, 4 chains
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReviewColours(t *testing.T) {
	p, d := reviewed("demo", "web", "http")
	text := written(t, func(w io.Writer) error { return ReviewText(w, p, d, ReviewOptions{Color: true}) })
	if !strings.Contains(text, colorBold+"service demo/web"+colorReset+"\n") ||
		!strings.Contains(text, signColors['-']+"- endpoint 10.1.0.2:8080: had 50%"+colorReset+"\n") {
		t.Errorf("%q", text)
	}
}

// FuzzReview gives Services any names: none ends the line, cell or block it stands in, controls a terminal or is HTML.
func FuzzReview(f *testing.F) {
	f.Add("demo", "web", "http")
	f.Add("a|b", "```\n</details><script>", "x`y\\|z")
	f.Add(hostile, hostile, hostile)
	f.Add("", "", "")
	p, d := reviewed("demo", "web", "http")
	plainText := written(f, func(w io.Writer) error { return ReviewText(w, p, d, ReviewOptions{}) })
	plainMarkdown := written(f, func(w io.Writer) error { return ReviewMarkdown(w, p, d, ReviewOptions{}) })
	f.Fuzz(func(t *testing.T, namespace, name, port string) {
		p, d := reviewed(namespace, name, port)
		for _, summary := range []bool{false, true} {
			text := written(t, func(w io.Writer) error { return ReviewText(w, p, d, ReviewOptions{Summary: summary}) })
			checkPlain(t, text)
			if !summary && strings.Count(text, "\n") != strings.Count(plainText, "\n") {
				t.Errorf("another number of lines: %q", text)
			}
		}
		text := written(t, func(w io.Writer) error { return ReviewMarkdown(w, p, d, ReviewOptions{}) })
		checkPlain(t, text)
		if strings.Count(text, "\n") != strings.Count(plainMarkdown, "\n") {
			t.Errorf("another number of lines: %q", text)
		}
		fenced := false
		for line := range strings.Lines(text) {
			switch {
			case strings.HasPrefix(line, "```"):
				fenced = !fenced
			case fenced:
				if trimmed := strings.TrimLeft(line, " "); len(line)-len(trimmed) > 0 || strings.HasPrefix(trimmed, "`") {
					t.Errorf("a line that could end the block: %q", line)
				}
			case strings.HasPrefix(line, "| "):
				if strings.Count(line, "|") != 4 || strings.Count(line, "`")%2 != 0 {
					t.Errorf("a row of another number of cells: %q", line)
				}
			case strings.ContainsAny(line, "<>") && !strings.HasPrefix(line, "<details><summary>Details</summary>\n") &&
				line != "</details>\n":
				t.Errorf("HTML: %q", line)
			}
		}
		if fenced {
			t.Errorf("a block without end: %q", text)
		}
	})
}

func checkPlain(t *testing.T, text string) {
	t.Helper()
	for _, r := range strings.ReplaceAll(text, "\n", "") {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar || r == '\u2028' || r == '\u2029' {
			t.Errorf("%U in %q", r, text)
		}
	}
}
