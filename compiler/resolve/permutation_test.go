package resolve

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// permuted is documents of every kind, with conflicts and duplicates, whose order must not matter.
func permuted() []string {
	var docs []string
	for i := range 8 {
		docs = append(docs, claimant(fmt.Sprintf("svc-%d", i), fmt.Sprintf("10.96.0.%d", i%7), "type: NodePort\n"+
			"  selector: {app: web}\n  externalIPs: [198.51.100.1]", fmt.Sprintf("port: 80, nodePort: %d", 30000+i%5)))
	}
	for i := range 12 {
		docs = append(docs, podYAML(fmt.Sprintf("web-%d", i), httpContainer, fmt.Sprintf("podIP: 10.1.0.%d", 1+i%9)))
	}
	for i := range 6 {
		docs = append(docs, slice(fmt.Sprintf("given-%d", i), fmt.Sprintf("kubernetes.io/service-name: svc-%d", i%2), fmt.Sprintf(`
addressType: IPv4
ports: [{port: 80}]
endpoints:
- {addresses: [10.2.0.%d], conditions: {ready: %t, serving: true, terminating: true}, nodeName: node-%d}
- {addresses: [10.2.0.1], nodeName: node-%d}
- {addresses: [10.2.0.300]}`, i, i%2 == 0, i, i)))
	}
	return append(docs, slice("orphan", "kubernetes.io/service-name: nobody", "addressType: IPv4\nendpoints: []"),
		"apiVersion: v1\nkind: Endpoints\nmetadata: {name: svc-2, namespace: demo}\nsubsets: [{addresses: [{ip: 10.3.0.1}], ports: [{port: 1}]}]\n")
}

func TestOrderOfDocuments(t *testing.T) {
	docs := permuted()
	cfg := Config{NodeName: "node-2"}
	want := ""
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		m, found := Resolve(decode(t, docs...), cfg)
		var all strings.Builder
		all.WriteString(dump(m))
		for _, s := range m.Services {
			all.WriteString(withoutLines(dumpSlices(m, s.Ref.Name)))
			for _, slice := range s.Slices {
				fmt.Fprintln(&all, slice.Name, slice.Source)
			}
		}
		counts := map[string]int{}
		for _, d := range found {
			counts[fmt.Sprint(d.Severity, d.Object, d.Field, d.Message)]++
		}
		fmt.Fprintln(&all, counts)
		if n == 0 {
			want = all.String()
			if !strings.Contains(want, "already allocated") || !strings.Contains(want, "orphan") {
				t.Fatalf("the documents do not conflict:\n%s", want)
			}
		}
		if diffLines(t, want, all.String()); t.Failed() {
			t.Fatalf("in order %d", n)
		}
		rng.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	}
}

// withoutLines drops the places, which do depend on the order.
func withoutLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		head, _, _ := strings.Cut(line, " line ")
		b.WriteString(strings.TrimSpace(head) + "\n")
	}
	return b.String()
}
