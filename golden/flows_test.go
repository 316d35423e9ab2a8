package golden

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/trace"
)

// flowsFile is flows.yaml of a case: what becomes of packets, written by hand from what Kubernetes says a Service does.
type flowsFile struct {
	Local []netip.Addr `json:"local"` // the node's own addresses
	Flows []flow       `json:"flows"`
}

// flow is the first packet of a connection, and what is to become of it.
type flow struct {
	From       netip.Addr     `json:"from"`
	To         destination    `json:"to"`
	Want       want           `json:"want"`
	Masquerade masqueradeWant `json:"masquerade"`
	// Weights are the endpoints' shares, in the order of Want. Without them all have the same.
	Weights []int `json:"weights"`
	// Affinity says that the client comes back to the endpoint it got.
	Affinity bool `json:"affinity"`
	// Hashed says that the client's address decides which one of the endpoints it gets.
	Hashed bool `json:"hashed"`
}

// String gives the flow as a name for a test.
func (f flow) String() string { return f.From.String() + " to " + f.To.String() }

// share gives the part of the connections that the i-th endpoint of Want is due.
func (f flow) share(i int) float64 {
	if len(f.Weights) == 0 {
		return 1 / float64(len(f.Want.endpoints))
	}
	sum := 0
	for _, w := range f.Weights {
		sum += w
	}
	return float64(f.Weights[i]) / float64(sum)
}

// destination is an address, port and protocol: "10.96.0.1:80/tcp".
type destination struct {
	netip.AddrPort
	proto graph.Proto
}

func (d destination) String() string { return d.AddrPort.String() + "/" + d.proto.String() }

// UnmarshalText reads what String writes.
func (d *destination) UnmarshalText(text []byte) (err error) {
	addr, proto, _ := strings.Cut(string(text), "/")
	i := slices.IndexFunc(graph.Protos[:], func(p graph.Proto) bool { return p.String() == proto })
	if i < 0 {
		return fmt.Errorf("%q: want ADDRESS:PORT/tcp, /udp or /sctp", text)
	}
	d.proto = graph.Protos[i]
	d.AddrPort, err = netip.ParseAddrPort(addr)
	return err
}

// The fates of a packet that is not translated.
const (
	reject    = "REJECT"
	drop      = "DROP"
	untouched = "untouched"
)

// want is a fate, or the endpoints that the packet may be translated to.
type want struct {
	fate      string
	endpoints []netip.AddrPort
}

// UnmarshalJSON takes one of the fates or a list of endpoints.
func (w *want) UnmarshalJSON(text []byte) error {
	if !strings.HasPrefix(string(text), `"`) {
		return json.Unmarshal(text, &w.endpoints)
	}
	if err := json.Unmarshal(text, &w.fate); err != nil {
		return err
	}
	if !slices.Contains([]string{reject, drop, untouched}, w.fate) {
		return fmt.Errorf("%q: want REJECT, DROP, untouched or a list of endpoints", w.fate)
	}
	return nil
}

// masqueradeWant says whose source is translated: true, false, or hairpin for the endpoint that reaches itself and no
// other.
type masqueradeWant struct{ always, hairpin bool }

// UnmarshalJSON takes a boolean or "hairpin".
func (m *masqueradeWant) UnmarshalJSON(text []byte) error {
	if m.hairpin = string(text) == `"hairpin"`; m.hairpin {
		return nil
	}
	return json.Unmarshal(text, &m.always)
}

// of reports whether the source is translated for a client that gets an endpoint.
func (m masqueradeWant) of(client netip.Addr, endpoint netip.AddrPort) bool {
	return m.always || m.hairpin && endpoint.Addr() == client
}

// TestFlows sends every flow of every case through the model, and as real connections through the kernel.
func TestFlows(t *testing.T) {
	entries, err := os.ReadDir("cases")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("cases", e.Name())
			r := &result{name: e.Name()}
			r.desired = r.compile(t, loadConfig(t, dir), read(t, dir))
			file := filepath.Join(dir, flowsName)
			switch {
			case r.desired == nil && exists(file):
				t.Fatalf("the input is refused: nothing flows, and %s is a mistake", file)
			case r.desired == nil:
				return
			}
			var base *graph.Ruleset
			if dir := filepath.Join(dir, "base"); exists(dir) {
				base = r.compile(t, loadConfig(t, filepath.Dir(dir)), read(t, dir))
			}
			flows := loadFlows(t, file)
			t.Run("model", func(t *testing.T) { checkModel(t, r.desired, flows) })
			t.Run("kernel", func(t *testing.T) { checkPackets(t, base, r.desired, flows) })
		})
	}
}

func loadFlows(t *testing.T, file string) flowsFile {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("every case says what becomes of packets: %v", err)
	}
	var f flowsFile
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(f.Local) == 0 || len(f.Flows) == 0 {
		t.Fatalf("%s: it needs the node's addresses (local) and at least one flow", file)
	}
	for _, w := range f.Flows {
		if err := w.check(); err != nil {
			t.Fatalf("%s: %s: %v", file, w, err)
		}
	}
	return f
}

// check finds what strict decoding does not: expectations that say nothing or contradict themselves.
func (f flow) check() error {
	translated := len(f.Want.endpoints) > 0
	switch {
	case !f.From.IsValid() || !f.To.IsValid():
		return fmt.Errorf("from and to are required")
	case f.From.Is4() != f.To.Addr().Is4():
		return fmt.Errorf("from and to are not of one address family")
	case translated == (f.Want.fate != ""):
		return fmt.Errorf("want is required: REJECT, DROP, untouched or a list of endpoints")
	case !translated && (f.Masquerade != masqueradeWant{} || f.Weights != nil || f.Affinity || f.Hashed):
		return fmt.Errorf("only a packet that is translated can have masquerade, weights, affinity or hashed")
	case f.Weights != nil && len(f.Weights) != len(f.Want.endpoints):
		return fmt.Errorf("%d weights for %d endpoints", len(f.Weights), len(f.Want.endpoints))
	}
	return nil
}

// trials is how many connections show every endpoint at least once, but for a chance of one in a billion.
func (f flow) trials() int {
	smallest := 1.0
	for i := range f.Want.endpoints {
		smallest = min(smallest, f.share(i))
	}
	if smallest == 1 {
		return 1
	}
	const chance = 1e-9
	n := math.Log(chance/float64(len(f.Want.endpoints))) / math.Log1p(-smallest)
	return cmp.Or(int(math.Ceil(n)), 1)
}

// flowsName is the file of a case that says what becomes of packets.
const flowsName = "flows.yaml"

// checkModel compares what the model says of every flow with what is wanted.
func checkModel(t *testing.T, rs *graph.Ruleset, f flowsFile) {
	t.Helper()
	host := trace.Host{Local: f.Local}
	for _, w := range f.Flows {
		got := walk(t, rs, host, w)
		switch {
		case w.Want.fate != "":
			if len(got) != 1 || got[0].Fate.String() != w.Want.fate {
				t.Errorf("%s: %s, want %s", w, summary(got), w.Want.fate)
			}
		case w.Hashed:
			if len(got) != 1 || !slices.Contains(w.Want.endpoints, got[0].Dest) ||
				got[0].Masquerade != w.Masquerade.of(w.From, got[0].Dest) {
				t.Errorf("%s: %s, want one of %v", w, summary(got), w.Want.endpoints)
			}
		default:
			checkShares(t, w, got)
		}
		if w.Affinity {
			for _, endpoint := range w.Want.endpoints {
				again := walk(t, remembering(rs, w, endpoint), host, w)
				if len(again) != 1 || again[0].Dest != endpoint {
					t.Errorf("%s, once it got %s: %s", w, endpoint, summary(again))
				}
			}
		}
	}
}

// shareError is how far a share may be off: the chance that every try hits an empty slot, which is all slot 0's, is 10⁻⁵,
// rounded.
const shareError = 2e-5

// checkShares compares outcomes with the wanted endpoints: these and no others, each with its share.
func checkShares(t *testing.T, w flow, got []trace.Outcome) {
	t.Helper()
	for _, o := range got {
		i := slices.Index(w.Want.endpoints, o.Dest)
		switch {
		case o.Fate != trace.Translated || i < 0:
			t.Errorf("%s: %s, want %v", w, summary(got), w.Want.endpoints)
		case math.Abs(o.Probability-w.share(i)) > shareError:
			t.Errorf("%s: %s has a share of %v, want %v", w, o.Dest, o.Probability, w.share(i))
		case o.Masquerade != w.Masquerade.of(w.From, o.Dest):
			t.Errorf("%s: to %s: masquerade is %v", w, o.Dest, o.Masquerade)
		}
	}
	if len(got) != len(w.Want.endpoints) {
		t.Errorf("%s: %s, want %v", w, summary(got), w.Want.endpoints)
	}
}

func walk(t *testing.T, rs *graph.Ruleset, host trace.Host, w flow) []trace.Outcome {
	t.Helper()
	r, err := trace.Walk(rs, host, trace.Packet{
		Source: netip.AddrPortFrom(w.From, 40000), Dest: w.To.AddrPort, Proto: w.To.proto,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Outcomes
}

// remembering gives the ruleset after a client got an endpoint.
func remembering(rs *graph.Ruleset, w flow, endpoint netip.AddrPort) *graph.Ruleset {
	out := &graph.Ruleset{}
	for _, table := range rs.Tables {
		c := *table
		c.Sets = slices.Clone(table.Sets)
		for i, s := range c.Sets {
			if s.Name == graph.AffinityMap && table.Family.Of(w.From) {
				learnt := *s
				learnt.Elements = graph.ElementsOf([]graph.Element{{
					Key:  graph.Key{Addr: w.From, Peer: w.To.Addr(), Proto: w.To.proto, Port: w.To.Port()},
					Data: graph.Data{Addr: endpoint.Addr(), Port: endpoint.Port()},
				}})
				c.Sets[i] = &learnt
			}
		}
		out.Tables = append(out.Tables, &c)
	}
	return out
}

// summary gives outcomes in one line.
func summary(outcomes []trace.Outcome) string {
	var parts []string
	for _, o := range outcomes {
		s := o.Fate.String()
		if o.Fate == trace.Translated {
			s = o.Dest.String()
		}
		if o.Masquerade {
			s += " masquerade"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}
