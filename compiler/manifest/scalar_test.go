package manifest

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestScalars compares what scalars mean with sigs.k8s.io/yaml, which reads manifests for kubectl.
func TestScalars(t *testing.T) {
	words := strings.Fields(`a y Y yes Yes YES yEs n N no NO on On off OFF oN true True TRUE tRUE false null Null NULL ~ ~a nan Inf
		0 -0 +0 00 007 08 09 010 0o10 0O10 0x1F 0X1f -0x1F +0x1F 0b11 -0b11 0b-1 0b+1 -0b-1 0b 0x 0o 1_000 1__0 1_ _1 +1_0 -1_0 0x_1F 0_7
		9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809
		1234567890123456789012345678901234567890 1.0 1. .5 +.5 -.5 ._5 .5_0 1_0.5 1e3 1E3 1e+3 1.5e-3 1e 1e+ e1 1e999 -1e999 1e-999 0.1 1.10 1e21 1e20 123456789.125
		0x1p4 12:30 1:1:1 2001-01-01 2001-01-01T00:00:00Z 2001-1-1 1.2.3.4 10.96.0.0/12 :: ::1 fd00::1 100m 1Gi 1.5Gi + - -- -a . .. ... .a 1-2 0.0.0.0 = << 5% .inf- +.a`)
	for _, word := range words {
		for _, text := range []string{word, "!!str " + word, "'" + word + "'"} {
			doc := "a: [" + text + "]"
			want, err := yaml.YAMLToJSON([]byte(doc))
			var got tree
			failed := parseYAML(&got, &document{text: doc, line: 1, column: 1})
			if (err != nil) != (failed != nil) {
				t.Errorf("%s: got error %v, want %v", text, failed, err)
			}
			if err != nil || failed != nil {
				continue
			}
			if got := string(got.appendJSON(nil, 0)); got != string(want) {
				t.Errorf("%s: got %s, want %s", text, got, want)
			}
		}
		doc := word + ": 1"
		if word == "<<" {
			continue
		}
		want, err := yaml.YAMLToJSON([]byte(doc))
		var got tree
		if failed := parseYAML(&got, &document{text: doc, line: 1, column: 1}); err != nil || failed != nil {
			continue
		}
		if got := string(got.appendJSON(nil, 0)); got != string(want) {
			t.Errorf("key %s: got %s, want %s", word, got, want)
		}
	}
}
