package allocate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// tight is a configuration in which Services often want the same.
var tight = Config{
	ServiceCIDRs: prefixes("10.96.0.0/24", "fd00:10:96::/120"), NodePortRange: resolve.PortRange{First: 30000, Last: 30399},
	LoadBalancerCIDRs: prefixes("192.0.2.0/25", "2001:db8::/121"),
}

func TestPermutation(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var docs []string
		for i := range 60 {
			docs = append(docs, random(rnd, fmt.Sprintf("s%d", i)))
		}
		want := choices(allocated(t, tight, nil, docs...))
		rnd.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		if diff := cmp.Diff(want, choices(allocated(t, tight, nil, docs...))); diff != "" {
			t.Fatalf("seed %d: in another order (-want +got):\n%s", seed, diff)
		}
	}
}

// Services come and go, and what was chosen for those that stay stays, also where there is much contention. What is
// remembered makes the difference: without it some would move.
func TestRandomWalk(t *testing.T) {
	moved := 0
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		docs := map[string]string{}
		var held Held
		last := map[string]string{}
		for range 60 {
			changed := map[string]bool{}
			for range 1 + rnd.IntN(8) {
				name := fmt.Sprintf("s%d", rnd.IntN(90))
				if changed[name] {
					continue // one that goes and comes at once may be another
				}
				changed[name] = true
				if _, ok := docs[name]; ok {
					delete(docs, name)
				} else {
					docs[name] = random(rnd, name)
				}
			}
			var all []string
			for _, d := range docs {
				all = append(all, d)
			}
			r := allocated(t, tight, held, all...)
			got := choices(r)
			for key, was := range last {
				name, _, _ := strings.Cut(key, " ")
				if docs[name] != "" && !changed[name] && got[key] != was {
					t.Fatalf("seed %d: %s moves from %s to %s", seed, key, was, got[key])
				}
			}
			checkDistinct(t, r)
			for key, without := range choices(allocated(t, tight, nil, all...)) {
				if got[key] != without {
					moved++
				}
			}
			last, held = got, r.Held()
		}
	}
	if moved == 0 {
		t.Error("nothing would have moved without what is held: the walk tests nothing")
	}
}

// checkDistinct sees that no two Services have the same.
func checkDistinct(t *testing.T, r *Result) {
	t.Helper()
	by := map[string]diag.Object{}
	for _, a := range r.Assignments {
		if first, ok := by[a.Value()]; ok && first != a.Service {
			t.Fatalf("%s is both %s's and %s's", a.Value(), first, a.Service)
		}
		by[a.Value()] = a.Service
	}
}

func TestHeld(t *testing.T) {
	addr := netip.MustParseAddr
	held := Held{"default/a": {
		ClusterIPs:      []netip.Addr{addr("fd00:10:96::7"), addr("10.96.7.7")},
		LoadBalancerIPs: []netip.Addr{addr("192.0.2.7")},
		NodePorts:       map[int32]uint16{80: 30007},
	}}
	a := service("a", balancer+ports80)
	kept := map[string]string{
		"a spec.clusterIP": "10.96.7.7", "a spec.ports[0].nodePort": "30007", "a status.loadBalancer.ingress[0].ip": "192.0.2.7",
	}
	if diff := cmp.Diff(kept, choices(allocated(t, dual, held, a))); diff != "" {
		t.Errorf("what is held is not kept (-want +got):\n%s", diff)
	}
	renamed := strings.Replace(a, "[{port", "[{name: new, port: 81}, {name: http, port", 1)
	if got := choices(allocated(t, dual, held, renamed)); got["a spec.ports[1].nodePort"] != "30007" {
		t.Errorf("a port that is renamed and moved gets another node port: %v", got)
	}
	// Out of range is not kept.
	narrow := Config{ServiceCIDRs: prefixes("10.97.0.0/16"), NodePortRange: resolve.PortRange{First: 31000, Last: 31999}}
	for k, v := range choices(allocated(t, narrow, held, a)) {
		if v == kept[k] {
			t.Errorf("%s keeps %s, which is out of range", k, v)
		}
	}
	// The network's address was never given out.
	zero := Held{"default/a": {ClusterIPs: []netip.Addr{addr("10.96.0.0")}}}
	if got := choices(allocated(t, dual, zero, a)); got["a spec.clusterIP"] == "10.96.0.0" {
		t.Error("the network's own address is kept")
	}
	// In a record that was tampered with two have the same: the first keeps it.
	both := Held{"default/a": held["default/a"], "default/b": held["default/a"]}
	r := allocated(t, dual, both, a, service("b", balancer+ports80))
	checkDistinct(t, r)
	if choices(r)["a spec.clusterIP"] != "10.96.7.7" {
		t.Error("the first does not keep it")
	}
	// What is remembered of a run is what it chose.
	if diff := cmp.Diff(choices(r), choices(allocated(t, dual, r.Held(), a, service("b", balancer+ports80)))); diff != "" {
		t.Errorf("what is held is not what was chosen:\n%s", diff)
	}
	if h := allocated(t, dual, held, service("a", "clusterIP: 10.96.0.1, "+ports80)).Held(); h != nil {
		t.Errorf("what is written is held: %v", h)
	}
}

// Written words collide with what another Service holds: that is an error, at the newcomer.
func TestCollision(t *testing.T) {
	held := allocated(t, dual, nil, service("m", balancer+ports80)).Held()
	h := held["default/m"]
	for _, x := range []struct{ spec, want string }{
		{"clusterIP: " + h.ClusterIPs[0].String() + ", " + ports80, "spec.clusterIP: Invalid value: \"" + h.ClusterIPs[0].String() +
			"\": failed to allocate IP " + h.ClusterIPs[0].String() + ": provided IP is already allocated"},
		{
			balancer + "allocateLoadBalancerNodePorts: false, clusterIP: 10.96.0.1, loadBalancerIP: " + h.LoadBalancerIPs[0].String() + ", " + ports80,
			"spec.loadBalancerIP: Invalid value: \"" + h.LoadBalancerIPs[0].String() + "\": failed to allocate IP",
		},
		{
			fmt.Sprintf("%sclusterIP: 10.96.0.1, ports: [{port: 80, nodePort: %d}]", nodePort, h.NodePorts[80]),
			fmt.Sprintf("spec.ports[0].nodePort: Invalid value: %d: provided port is already allocated", h.NodePorts[80]),
		},
	} {
		for _, newcomer := range []string{"a", "z"} { // before and after the holder
			docs := []string{service("m", balancer+ports80), service(newcomer, x.spec)}
			r, found := Allocate(decode(t, docs...), dual, held)
			_, more := resolve.Resolve(r.Bundle, resolve.Config{ServiceCIDRs: dual.ServiceCIDRs})
			errs, _ := append(found, more...).Split()
			if len(errs) != 1 || errs[0].Object.Name != newcomer || !strings.Contains(errs[0].String(), x.want) ||
				!strings.Contains(errs[0].Hint, "service default/m") {
				t.Errorf("%s: want one error with %q, got\n%v", newcomer, x.want, errs.Err())
			}
			// Without a memory there is no newcomer: what is written comes first.
			if _, found := Allocate(decode(t, docs...), dual, nil); len(found) > 0 {
				t.Errorf("without what is held: %v", found.Err())
			}
		}
	}
	// A Service is not in its own way.
	own := service("m", fmt.Sprintf("%sports: [{name: a, port: 80}, {name: b, port: 81, nodePort: %d}]", nodePort, h.NodePorts[80]))
	if got := choices(allocated(t, dual, held, own)); got["m spec.ports[0].nodePort"] == fmt.Sprint(h.NodePorts[80]) {
		t.Error("two ports of a Service have the same node port")
	}
}
