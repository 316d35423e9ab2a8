package allocate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// What is written back into the manifests, in whatever style they are, is what was chosen: decoded again they are the
// allocated bundle, nothing is left to choose, and every comment is still there.
func TestWriteBack(t *testing.T) {
	written := 0
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		var sources []manifest.Source
		for file := range 1 + rnd.IntN(3) {
			sources = append(sources, manifest.Source{Name: fmt.Sprintf("%d.yaml", file), Data: styled(t, rnd, file)})
		}
		before, found := manifest.Decode(sources, manifest.Options{})
		if err := found.Err(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, sources[0].Data)
		}
		r, found := Allocate(before, dual, nil)
		if err := found.Err(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		changed, found := manifest.Rewrite(sources, r.Edits())
		if err := found.Err(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, c := range changed {
			for i := range sources {
				if sources[i].Name == c.Name {
					checkKept(t, sources[i].Data, c.Data)
					sources[i] = c
				}
			}
		}
		after, found := manifest.Decode(sources, manifest.Options{})
		if err := found.Err(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, o := range r.Bundle.Services {
			if diff := cmp.Diff(o.Value, after.Services[i].Value); diff != "" {
				t.Fatalf("seed %d: %s (-allocated +written):\n%s", seed, o.Ref, diff)
			}
		}
		if again, _ := Allocate(after, dual, nil); len(again.Assignments) > 0 {
			t.Errorf("seed %d: there is still something to choose: %v", seed, again.Assignments)
		}
		written += len(r.Assignments)
	}
	if written < 1000 {
		t.Errorf("only %d values were written", written)
	}
}

// checkKept sees that every line that was there is there still, as it was or with something inserted.
func checkKept(t *testing.T, before, after []byte) {
	t.Helper()
	lines := bytes.SplitAfter(after, []byte("\n"))
	at := 0
	for line := range bytes.Lines(before) {
		i := at
		for ; i < len(lines); i++ {
			if contains(lines[i], line) {
				break
			}
		}
		if i == len(lines) {
			t.Fatalf("the line is gone, or out of order: %q\n%s", line, after)
		}
		at = i
	}
}

// contains reports whether all of part is in the line, in order.
func contains(line, part []byte) bool {
	for _, c := range part {
		i := bytes.IndexByte(line, c)
		if i < 0 {
			return false
		}
		line = line[i+1:]
	}
	return true
}

// styled gives a file of random Services in random styles.
func styled(t *testing.T, rnd *rand.Rand, file int) []byte {
	t.Helper()
	var docs []string
	for i := range 1 + rnd.IntN(4) {
		text := random(rnd, fmt.Sprintf("s%d-%d", file, i))
		svc := decode(t, text).Services[0].Value
		if rnd.IntN(4) == 0 {
			svc.Spec.ClusterIP = fmt.Sprintf("10.111.%d.%d", file, i)
			svc.Spec.IPFamilies = nil
			if rnd.IntN(2) == 0 {
				svc.Spec.ClusterIPs = []string{svc.Spec.ClusterIP}
			}
		}
		docs = append(docs, write(t, rnd, &svc))
	}
	text := strings.Join(docs, "---\n")
	if rnd.IntN(3) == 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return []byte(text)
}

// write gives a Service in one of many styles.
func write(t *testing.T, rnd *rand.Rand, svc *corev1.Service) string {
	t.Helper()
	marshal := func(f func(any) ([]byte, error)) string {
		text, err := f(svc)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	compact := marshal(json.Marshal)
	switch rnd.IntN(6) {
	case 0:
		return compact + "\n"
	case 1:
		return marshal(func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "\t") }) + "\n"
	case 2: // a flow mapping that is not JSON
		return "# Flow.\n" + strings.NewReplacer(`"spec":{`, "spec: { # the spec\n   ", `":`, `": `, `,"`, `, "`).Replace(compact) + "\n"
	case 3:
		return "apiVersion: v1\nkind: List\nitems:\n# The first.\n- " + strings.ReplaceAll(commented(rnd, marshal(yaml.Marshal)), "\n", "\n  ") + "\n"
	case 4:
		return "apiVersion: v1\nkind: List\nitems: [" + compact + "]\n"
	default:
		return commented(rnd, marshal(yaml.Marshal))
	}
}

// commented puts comments and blank lines between and behind the lines of block style.
func commented(rnd *rand.Rand, text string) string {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i > 0 && rnd.IntN(5) == 0 {
			fmt.Fprintf(&b, "%*s# Above line %d: type: x\n", rnd.IntN(6), "", i)
		}
		if i > 0 && rnd.IntN(8) == 0 {
			b.WriteString("\n")
		}
		b.WriteString(line)
		if rnd.IntN(6) == 0 {
			fmt.Fprintf(&b, "   # line %d", i)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
