package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/internal/state"
)

// walker changes the endpoints of a few Services of several kinds, and now and then something else.
type walker struct {
	*rand.Rand
	endpoints [7][]string // by Service
	fewer     bool        // the last Service is not there
	note      int         // of the first Service
	extra     string
}

func (w *walker) step() {
	if w.IntN(2) == 0 {
		w.extra = ""
	}
	switch w.IntN(20) {
	case 0:
		w.fewer = !w.fewer
	case 1:
		w.note++
	case 2:
		w.extra = []string{"", "# a comment\n", "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", "---\nkind: [\n"}[w.IntN(4)]
	default:
		for range 1 + w.IntN(2) {
			w.change(&w.endpoints[w.IntN(len(w.endpoints))])
		}
	}
}

// change takes or adds an endpoint. Mostly there are three or four, which have the same chain.
func (w *walker) change(endpoints *[]string) {
	n := len(*endpoints)
	if n == 4 || n > 0 && w.IntN(12) == 0 {
		at := w.IntN(n)
		*endpoints = append((*endpoints)[:at:at], (*endpoints)[at+1:]...)
		return
	}
	ready := w.IntN(5) > 0
	*endpoints = append(*endpoints, fmt.Sprintf("{addresses: [10.1.0.%d], nodeName: node-%c, "+
		"conditions: {ready: %v, serving: true, terminating: %v}}", 1+w.IntN(12), 'a'+w.IntN(2), ready, !ready))
}

func (w *walker) manifest() string {
	var b strings.Builder
	specs := []struct{ spec, proto string }{
		{"clusterIP: 10.96.0.1\n  ports: [{port: 80}]", "TCP"},
		{"clusterIP: 10.96.0.2\n  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]", "TCP"},
		{"clusterIP: 10.96.0.3\n  sessionAffinity: ClientIP\n  ports: [{port: 53, protocol: UDP}]", "UDP"},
		{"clusterIP: 10.96.0.4\n  ports: [{port: 53, protocol: UDP}]", "UDP"},
		{"ports: [{port: 80}]", "TCP"},
		{"type: NodePort\n  ports: [{port: 80}]\n  externalTrafficPolicy: Local", "TCP"},
		{"ports: [{port: 443}]", "TCP"},
	}
	for i, s := range specs {
		if i == len(specs)-1 && w.fewer {
			break
		}
		note := ""
		if i == 0 {
			note = fmt.Sprintf(", annotations: {note: n%d}", w.note)
		}
		fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: s%d%s}\nspec:\n  %s\n---\n", i, note, s.spec)
		fmt.Fprintf(&b, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
			"metadata: {name: s%d-1, labels: {kubernetes.io/service-name: s%d}}\naddressType: IPv4\n"+
			"ports: [{name: \"\", port: 8080, protocol: %s}]\nendpoints:\n  [%s]\n---\n", i, i, s.proto, strings.Join(w.endpoints[i], ",\n  "))
	}
	return strings.TrimSuffix(b.String(), "---\n") + w.extra
}

// TestIncrementIsApply applies a walk of inputs twice: to a table that may be changed by increments, and to another one
// where every input is taken the whole way. What is printed, what is recorded and what is in the kernel is the same, whatever
// somebody else does to the tables in between.
func TestIncrementIsApply(t *testing.T) {
	h := newHost(t, 0)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &walker{Rand: rand.New(rand.NewPCG(seed, 0))}
	both := func(args ...string) (out [2]string) {
		for i, more := range [2][]string{{"--table=inc"}, {"--table=who", "--no-cache"}} {
			code, text := h.run(append(args, more...)...)
			out[i] = fmt.Sprintf("exit code %d: %s", code, anonymous(text))
		}
		return out
	}
	nft := func(script string) string {
		out, err := exec.CommandContext(t.Context(), "nft", script).CombinedOutput()
		if err != nil {
			t.Logf("nft %s: %v: %s", script, err, out)
		}
		return string(out)
	}
	for i := range w.endpoints {
		for range 4 {
			w.change(&w.endpoints[i])
		}
	}
	local, whole, rounds := 0, 0, roundsOf(40)
	for i := range rounds {
		w.step()
		h.write("in.yaml", w.manifest())
		// inParts says whether the increment looks at some Services, and whether at the others after all.
		inParts := func() (some, after bool) {
			_, debug := h.run("apply", "-f", "in.yaml", "--table=inc", "--dry-run", "--log-level=debug")
			return strings.Contains(debug, "only some Services have other endpoints"), strings.Contains(debug, "after all")
		}
		some, _ := inParts()
		if some {
			local++
		}
		if some && local%3 == 0 {
			meddling := []string{
				"flush map ip %s endpoints", "delete table ip %s", "flush map ip %s services", "add element ip %s cluster-ips { 10.96.9.9 }",
			}[local/3%4]
			for _, table := range []string{"inc", "who"} {
				nft(fmt.Sprintf(meddling, table))
			}
			if _, after := inParts(); after {
				whole++
			}
		}
		if w.IntN(30) == 0 {
			for _, table := range []string{"inc", "who"} {
				removeAll([]string{filepath.Join(h.dir, "state", "own", table, "applied")})
			}
		}
		ways := [][]string{{"--dry-run"}, {[]string{"-o=text", "-o=json", "-o=changes"}[i%3], "--detailed-exitcode"}}
		for _, args := range ways[min(i%3, 1):] {
			out := both(append([]string{"apply", "-f", "in.yaml"}, args...)...)
			if out[0] != out[1] {
				t.Fatalf("round %d: apply %v: whole (-), increment (+):\n%s\n%s", i, args, cmp.Diff(out[1], out[0]), w.manifest())
			}
		}
		if a, b := anonymous(nft("list table ip inc")), anonymous(nft("list table ip who")); a != b {
			t.Fatalf("round %d: the kernel: whole (-), increment (+):\n%s", i, cmp.Diff(b, a))
		}
		inc, who := recorded(h, "inc"), recorded(h, "who")
		if d := cmp.Diff(who, inc, cmpopts.IgnoreUnexported(state.Record{}), cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Fatalf("round %d: recorded: whole (-), increment (+):\n%s", i, d)
		}
	}
	t.Logf("%d of %d rounds were local, %d looked at the whole after all", local, rounds, whole)
	if !testing.Short() && (local < rounds/6 || whole == 0) {
		t.Error("too few of them: the test proves little")
	}
}

// The tables have different names, and what is counted by the namespace counts on.
var ofOne = regexp.MustCompile(`"generation": \d+|\b(inc|who)\b|generation \d+|applied-[0-9a-f]{32}`)

func anonymous(text string) string { return ofOne.ReplaceAllString(text, "_") }

// recorded gives what is recorded of a table, but for what is its own.
func recorded(h *host, table string) *state.Record {
	h.t.Helper()
	store := state.NewStore(filepath.Join(h.dir, "state"), "", table)
	r, err := store.Load()
	if err != nil {
		return nil
	}
	rs, err := store.Applied(r)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, t := range rs.Tables { // the digest is also of the name
		t.Name = ""
		t.Chains = slices.DeleteFunc(t.Chains, (*graph.Chain).CarriesDigest)
	}
	return &state.Record{
		Files: r.Files, Config: "", Services: r.Services, Clean: r.Clean, Build: r.Build, Sources: r.Sources, Allocations: r.Allocations,
		Ruleset: string(graph.Marshal(rs)),
	}
}
