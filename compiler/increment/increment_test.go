package increment_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/increment"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
)

var serviceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112")}

func randomConfig(w *world) increment.Config {
	return increment.Config{
		Allocate: allocate.Config{ServiceCIDRs: serviceCIDRs},
		Resolve:  resolve.Config{NodeName: pick(w, "", "node-1", "node-1"), ServiceCIDRs: serviceCIDRs},
		Compiler: compiler.Config{
			Table: "svcctl", AffinityMapSize: 4096, ServiceCIDRs: serviceCIDRs, Counters: w.chance(50), MasqueradeAll: w.chance(20),
			ClusterCIDRs: pick(w, nil, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}),
		},
	}
}

// whole is what an input means by all phases at work on all of it.
type whole struct {
	found     diag.List
	clean     bool
	documents []manifest.Document
	held      allocate.Held
	model     *resolve.Model
	ruleset   *graph.Ruleset
	digests   map[diag.Object]string
}

func takeWhole(t *testing.T, sources []manifest.Source, held allocate.Held, cfg increment.Config) *whole {
	t.Helper()
	bundle, found := manifest.Decode(sources, manifest.Options{Documents: true})
	allocated, more := allocate.Allocate(bundle, cfg.Allocate, held)
	m, evenMore := resolve.Resolve(allocated.Bundle, cfg.Resolve)
	x := &whole{
		found: slices.Concat(found, more, evenMore), documents: bundle.Documents, held: allocated.Held(), model: m,
		digests: map[diag.Object]string{},
	}
	x.clean = len(x.found) == 0 && len(bundle.Skipped) == 0
	if x.found.HasErrors() {
		return x
	}
	rs, err := compiler.Compile(m, cfg.Compiler)
	if err != nil {
		t.Fatal(err)
	}
	x.ruleset = rs
	for _, s := range m.Services {
		x.digests[s.Ref] = digest(s)
	}
	return x
}

// digest writes down all that is said of a Service, but for places.
func digest(s *resolve.Service) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	write := func(v any) {
		if err := e.Encode(v); err != nil {
			panic(err)
		}
	}
	write(&s.Object.Value)
	write(&s.Spec)
	fmt.Fprintf(&b, "%q %v\n", s.Skipped, s.Headless)
	for _, slice := range s.Slices {
		fmt.Fprintf(&b, "%s ", slice.Source)
		write(slice.EndpointSlice)
	}
	return b.String()
}

// remembered is what is remembered of an input: through the binary form, as in a state directory.
func remembered(t *testing.T, documents []manifest.Document, held allocate.Held, rs *graph.Ruleset) *increment.Earlier {
	t.Helper()
	data := graph.Marshal(rs)
	return &increment.Earlier{Documents: documents, Held: held, Ruleset: func() *graph.Ruleset {
		rs, err := graph.Unmarshal(data)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}}
}

// TestIncrementIsTheWhole walks at random over inputs. Whatever changes, an increment gives what the whole way gives, or
// refuses; and where the whole way has anything to say it refuses.
func TestIncrementIsTheWhole(t *testing.T) {
	seed, steps := rand.Uint64(), 500
	if s := os.Getenv("SVCCTL_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	if testing.Short() {
		steps = 200
	}
	if s := os.Getenv("SVCCTL_INCREMENT_STEPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		steps = n
	}
	t.Logf("SVCCTL_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	local, refused := 0, map[string]int{}
	for done := 0; done < steps; {
		w := newWorld(r)
		cfg := randomConfig(w)
		if !takeWhole(t, w.sources(), nil, cfg).clean {
			continue
		}
		stuck := 0 // for how many steps nothing was local
		var (
			earlier *increment.Earlier // of the last input that was accepted; nil: nothing that helps
			held    allocate.Held
			before  *whole
		)
		for range 200 {
			if done++; stuck > 12 {
				break
			}
			stuck++
			next := w.clone()
			for range 1 + r.IntN(2) {
				next.change()
			}
			sources := next.sources()
			want := takeWhole(t, sources, held, cfg)
			var got *increment.Result
			if earlier != nil {
				var err error
				got, err = increment.Make(*earlier, sources, cfg)
				var notLocal *compiler.NotLocalError
				switch {
				case err == nil:
					local++
					stuck = 0
					check(t, earlier, before, want, got, held)
				case errors.As(err, &notLocal):
					refused[reason(err)]++
				default:
					t.Fatal(err)
				}
				if t.Failed() {
					for _, s := range w.sources() {
						t.Logf("was %s:\n%s", s.Name, s.Data)
					}
					for _, s := range sources {
						t.Logf("is %s:\n%s", s.Name, s.Data)
					}
					t.FailNow()
				}
			}
			switch {
			case want.clean && got != nil:
				w, before = next, want
				earlier = remembered(t, got.Documents, held, got.Ruleset)
			case want.clean:
				w, before, held, earlier = next, want, want.held, nil
				if want.documents != nil {
					earlier = remembered(t, want.documents, held, want.ruleset)
				}
			case !want.found.HasErrors() && w.chance(5):
				w, before, held, earlier = next, want, want.held, nil
			}
		}
	}
	t.Logf("%d of %d steps were local; others: %v", local, steps, refused)
	if local < steps/8 {
		t.Errorf("only %d of %d steps were local", local, steps)
	}
}

// reason is the reason for a refusal without what it is about.
func reason(err error) string {
	words := strings.Fields(err.Error())
	return strings.Join(words[len(words)-min(len(words), 4):], " ")
}

func check(t *testing.T, earlier *increment.Earlier, before, want *whole, got *increment.Result, held allocate.Held) {
	t.Helper()
	if !want.clean {
		t.Errorf("an increment says nothing of %v", want.found)
		return
	}
	if d := cmp.Diff(want.documents, got.Documents); d != "" {
		t.Errorf("documents of the whole (-), of the increment (+):\n%s", d)
	}
	if !reflect.DeepEqual(want.held, held) {
		t.Errorf("Services hold %v, and held %v", want.held, held)
	}
	if !bytes.Equal(graph.Marshal(want.ruleset), graph.Marshal(got.Ruleset)) {
		t.Errorf("whole (-), increment (+):\n%s", cmp.Diff(text(want.ruleset), text(got.Ruleset)))
	}
	if err := graph.Check(got.Ruleset); err != nil {
		t.Error(err)
	}
	part := map[diag.Object]bool{}
	for _, s := range got.Model.Services {
		part[s.Ref] = true
		if d := cmp.Diff(want.digests[s.Ref], digest(s)); d != "" {
			t.Errorf("%s in the whole (-), in the increment (+):\n%s", s.Ref, d)
		}
	}
	for ref, d := range want.digests {
		if !part[ref] && d != before.digests[ref] {
			t.Errorf("%s changed, and the increment does not know of it:\n%s", ref, cmp.Diff(before.digests[ref], d))
		}
	}
	if len(want.digests) != len(before.digests) {
		t.Errorf("there are %d Services, and were %d", len(want.digests), len(before.digests))
	}
	checkOwners(t, want.ruleset, got.Ruleset, part)
	changed := func(o *graph.Owner) bool { return want.digests[o.Service] != before.digests[o.Service] }
	was := earlier.Ruleset()
	flows := func(rs *graph.Ruleset) []plan.StaleFlow { return plan.StaleFlows(plan.Diff(was, rs), was, rs, changed) }
	if want, got := flows(want.ruleset), flows(got.Ruleset); !reflect.DeepEqual(want, got) {
		t.Errorf("flows that have to go: %+v, in the increment %+v", want, got)
	}
}

// checkOwners makes sure that what belongs to a Service of the part is known to, and nothing else.
func checkOwners(t *testing.T, want, got *graph.Ruleset, part map[diag.Object]bool) {
	t.Helper()
	for _, table := range want.Tables {
		for _, s := range table.Sets {
			if !slices.Contains(s.Key, graph.ProtoField) {
				continue
			}
			for e := range s.Elements.All() {
				g, ok := got.Table(table.Family).Set(s.Name).Find(e.Key)
				if !part[e.Owner.Service] {
					if g.Owner != nil {
						t.Errorf("%s %+v belongs to %+v, and to %+v in the increment", s.Name, e.Key, e.Owner, g.Owner)
					}
					continue
				}
				if !ok || !reflect.DeepEqual(g.Owner, e.Owner) || g.Pos != e.Pos {
					t.Errorf("%s %+v belongs to %+v (%s), and to %+v (%s) in the increment", s.Name, e.Key, e.Owner, e.Pos, g.Owner, g.Pos)
				}
			}
		}
	}
}

func text(rs *graph.Ruleset) string {
	var b strings.Builder
	for _, table := range rs.Tables {
		for _, c := range table.Chains {
			fmt.Fprintf(&b, "%s chain %s %+v %+v\n", table.Family, c.Name, c.Hook, c.Rules)
		}
		for _, s := range table.Sets {
			fmt.Fprintf(&b, "%s set %s %v %v %d\n", table.Family, s.Name, s.Key, s.Data, s.Size)
			for e := range s.Elements.All() {
				fmt.Fprintf(&b, "%s %s %+v %+v\n", table.Family, s.Name, e.Key, e.Data)
			}
		}
	}
	return b.String()
}
