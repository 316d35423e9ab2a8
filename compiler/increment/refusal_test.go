package increment_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/allocate"
	"github.com/svcctl/svcctl/compiler/increment"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
)

func service(name, spec string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {%s}\n", name, spec)
}

// slice gives a Service endpoints with these numbers.
func slice(service string, endpoints ...int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
		"metadata: {name: %s-1, labels: {kubernetes.io/service-name: %[1]s}}\naddressType: IPv4\n"+
		"ports: [{name: \"\", port: 8080}]\nendpoints:\n", service)
	for _, n := range endpoints {
		fmt.Fprintf(&b, "- {addresses: [10.1.%d.%d], nodeName: node-1}\n", n/250, 1+n%250)
	}
	if len(endpoints) == 0 {
		b.WriteString("  []\n")
	}
	return b.String()
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// What is local and what is not, and that what is comes out as the whole.
func TestLocal(t *testing.T) {
	legacy := func(numbers ...int) string {
		text := "---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets:\n- ports: [{port: 8080}]\n  addresses:\n"
		for _, n := range numbers {
			text += fmt.Sprintf("  - ip: 10.1.0.%d\n", n)
		}
		return text
	}
	plain := func(n byte) string { return fmt.Sprintf("clusterIP: 10.96.0.%d, ports: [{port: 80}]", n) }
	const (
		hash = "---\napiVersion: v1\nkind: Service\nmetadata: {name: h, annotations: {svcctl.io/balance: source-hash}}\n" +
			"spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}\n"
		pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: x}%s}\nspec: {containers: [{name: c, image: i}]}\n"
	)
	// Its Service has a node port that is the port of another one.
	nodePort := service("np", "type: NodePort, clusterIP: 10.96.0.8, ports: [{port: 80, nodePort: 30080}]")
	ab := service("a", plain(1)) + service("b", plain(2))
	tests := map[string]struct {
		was, is string
		refused string // "" for not at all
	}{
		"an endpoint more":       {ab + slice("a", 1, 2, 3) + slice("b", 1), ab + slice("a", 1, 2, 3, 4) + slice("b", 1), ""},
		"an endpoint less":       {ab + slice("a", 1, 2, 3, 4) + slice("b", 1), ab + slice("a", 1, 2, 3) + slice("b", 1), ""},
		"of the old kind":        {ab + legacy(1, 2, 3) + slice("b", 1), ab + legacy(1, 2, 3, 4) + slice("b", 1), ""},
		"one that others have":   {ab + slice("a", 1, 2) + slice("b", 1, 2, 3, 4), ab + slice("a", 2) + slice("b", 1, 2, 3, 4) + service("c", plain(3)) + slice("c", 9), "another one"},
		"shared and gone":        {ab + slice("a", 1, 2, 3, 4) + slice("b", 1, 2, 3, 4), ab + slice("a", 1, 2, 3, 5) + slice("b", 1, 2, 3, 4), ""},
		"sets that grow":         {ab + slice("a", numbers(818)...) + slice("b", 1), ab + slice("a", numbers(820)...) + slice("b", 1), ""},
		"a set of another size":  {ab + slice("a", numbers(80)...) + slice("b", numbers(1000)...) + service("c", plain(3)) + slice("c", numbers(500)...), ab + slice("a", numbers(81)...) + slice("b", numbers(1000)...) + service("c", plain(3)) + slice("c", numbers(500)...), ""},
		"sets that shrink":       {ab + slice("a", numbers(820)...) + slice("b", 1), ab + slice("a", numbers(818)...) + slice("b", 1), ""},
		"a new size":             {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1, 2) + slice("b", 1), "the chain random-2 is new"},
		"the last of a size":     {ab + slice("a", 1) + slice("b", 1, 2), ab + slice("a", 1) + slice("b", 1), "nothing leads to the chain random-2 any more"},
		"none at all":            {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + slice("b"), ""},
		"another order":          {ab + slice("a", 1) + slice("b", 1), slice("b", 1) + slice("a", 1) + ab, ""},
		"a comment":              {ab + slice("a", 1) + slice("b", 1), "---\n# comment\n" + ab + slice("a", 1) + slice("b", 1), ""},
		"another Service":        {ab + slice("a", 1) + slice("b", 1), service("c", plain(3)) + ab + slice("a", 1) + slice("b", 1), "service default/c is another one"},
		"a Service says more":    {ab + slice("a", 1) + slice("b", 1), strings.Replace(ab, "80", "81", 1) + slice("a", 1) + slice("b", 1), "is another one"},
		"a Pod says more":        {ab + slice("a", 1) + slice("b", 1) + fmt.Sprintf(pod, ""), ab + slice("a", 1) + slice("b", 1) + fmt.Sprintf(pod, ", annotations: {x: z}"), "pod default/p is another one"},
		"of nobody":              {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + slice("b", 1) + slice("x", 1), "is not in the input"},
		"given twice":            {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + slice("b", 1) + slice("b", 2), "endpointslice default/b-1 is given twice"},
		"a document twice":       {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + slice("b", 1) + slice("b", 1), "endpointslice default/b-1 is given twice"},
		"another kind":           {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + slice("b", 1) + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "not read"},
		"no document":            {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + slice("b", 1) + "---\na: [\n", "something to say"},
		"no text":                {ab + slice("a", 1) + slice("b", 1), "\xff\xfe\x00", "UTF-16"},
		"no endpoint":            {ab + slice("a", 1) + slice("b", 1), ab + slice("a", 1) + strings.Replace(slice("b", 1), "10.1.0.2", "10.1.0.x", 1), "something to say"},
		"several in one":         {ab + slice("a", 1) + slice("b", 1), ab + "---\n{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Endpoints, metadata: {name: a}}, {apiVersion: v1, kind: Endpoints, metadata: {name: b}}]}\n", "several"},
		"a hash":                 {hash + ab + slice("a", 1) + slice("h", 1, 2), hash + ab + slice("a", 1) + slice("h", 1, 2, 3), "no slot"},
		"less beside a hash":     {hash + ab + slice("a", 1, 2, 3, 4) + slice("h", 1, 2), hash + ab + slice("a", 1, 2, 3) + slice("h", 1, 2), "no slot"},
		"more beside a hash":     {hash + ab + slice("a", 1, 2, 3) + slice("h", 1), hash + ab + slice("a", 1, 2, 3, 4) + slice("h", 1), ""},
		"a node port begins":     {ab + nodePort + slice("a", 1) + slice("np"), ab + nodePort + slice("a", 1) + slice("np", 1), "begins or ends"},
		"a node port ends":       {ab + nodePort + slice("a", 1) + slice("np", 1), ab + nodePort + slice("a", 1) + slice("np"), "begins or ends"},
		"a node port goes on":    {ab + nodePort + slice("a", 1) + slice("np", 1, 2, 3), ab + nodePort + slice("a", 1) + slice("np", 1, 2, 4), ""},
		"a node port of others":  {service("a", "clusterIP: 10.96.0.1, ports: [{port: 30080}]") + nodePort + slice("a", 1, 2, 3) + slice("np", 1), service("a", "clusterIP: 10.96.0.1, ports: [{port: 30080}]") + nodePort + slice("a", 1, 2, 4) + slice("np", 1), "is an address and a node port"},
		"more than a part of it": {services(30, 1), services(30, 2), "are others"},
	}
	cfg := increment.Config{
		Allocate: allocate.Config{ServiceCIDRs: serviceCIDRs}, Resolve: resolve.Config{ServiceCIDRs: serviceCIDRs},
		Compiler: compiler.Config{Table: "svcctl", AffinityMapSize: 4096, ServiceCIDRs: serviceCIDRs},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			sources := func(text string) []manifest.Source { return []manifest.Source{{Name: "a.yaml", Data: []byte(text)}} }
			before := takeWhole(t, sources(tc.was), nil, cfg)
			if before.found.HasErrors() || before.documents == nil {
				t.Fatalf("what was is wrong: %v", before.found)
			}
			earlier := remembered(t, before.documents, nil, before.ruleset)
			got, err := increment.Make(*earlier, sources(tc.is), cfg)
			var notLocal *compiler.NotLocalError
			switch {
			case tc.refused != "":
				if !errors.As(err, &notLocal) || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want a refusal with %q", err, tc.refused)
				}
			case err != nil:
				t.Errorf("refused: %v", err)
			default:
				want := takeWhole(t, sources(tc.is), nil, cfg)
				want.clean = true // there are Services without endpoints on purpose
				check(t, earlier, before, want, got, nil)
			}
		})
	}
}

// services gives so many Services, with endpoints of their own.
func services(n, endpoint int) string {
	var b strings.Builder
	for i := range n {
		name := fmt.Sprintf("s%d", i)
		b.WriteString(service(name, fmt.Sprintf("clusterIP: 10.96.1.%d, ports: [{port: 80}]", i+1)))
		b.WriteString(slice(name, 10*i+endpoint))
	}
	return b.String()
}

// What Services were given is theirs only as long as it is remembered.
func TestHeldIsRemembered(t *testing.T) {
	cfg := increment.Config{
		Allocate: allocate.Config{ServiceCIDRs: serviceCIDRs}, Resolve: resolve.Config{ServiceCIDRs: serviceCIDRs},
		Compiler: compiler.Config{Table: "svcctl", AffinityMapSize: 4096, ServiceCIDRs: serviceCIDRs},
	}
	sources := func(endpoints ...int) []manifest.Source {
		return []manifest.Source{{Name: "a.yaml", Data: []byte(service("a", "ports: [{port: 80}]") + slice("a", endpoints...))}}
	}
	before := takeWhole(t, sources(1, 2, 3), nil, cfg)
	e := remembered(t, before.documents, before.held, before.ruleset)
	if _, err := increment.Make(*e, sources(1, 2, 4), cfg); err != nil {
		t.Errorf("refused: %v", err)
	}
	e.Held = nil
	var notLocal *compiler.NotLocalError
	if _, err := increment.Make(*e, sources(1, 2, 4), cfg); !errors.As(err, &notLocal) {
		t.Errorf("what it was given is not known, and an increment gives %v", err)
	}
}
