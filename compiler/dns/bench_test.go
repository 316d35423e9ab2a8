package dns_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/dns"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/workload"
)

// BenchmarkBuild makes the zones of 10,000 headless Services of ten endpoints.
func BenchmarkBuild(b *testing.B) {
	var text bytes.Buffer
	if err := (workload.Workload{Services: 10_000, Endpoints: 10}).WriteYAML(&text); err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  clusterIP: ") {
			lines[i] = "  clusterIP: None"
		}
	}
	bundle, _ := manifest.Decode([]manifest.Source{{Name: "w.yaml", Data: []byte(strings.Join(lines, "\n"))}}, manifest.Options{})
	m, found := resolve.Resolve(bundle, resolve.Config{})
	if found.HasErrors() {
		b.Fatal(found.Err())
	}
	b.ReportAllocs()
	for b.Loop() {
		dns.Build(m, config)
	}
}
