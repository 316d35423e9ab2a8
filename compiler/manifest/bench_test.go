package manifest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/svcctl/svcctl/compiler/manifest"
)

// generated gives a file of Services, each with a slice of ten endpoints, as people write them.
func generated(services int) []byte {
	var b bytes.Buffer
	for i := range services {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata:
  name: web-%[1]d
  namespace: demo
  labels:
    app: web-%[1]d
spec:
  type: ClusterIP
  clusterIP: 10.%[2]d.%[3]d.%[4]d
  selector:
    app: web-%[1]d
  ports:
  - name: http
    protocol: TCP
    port: 80
    targetPort: 8080
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-%[1]d-abcde
  namespace: demo
  labels:
    kubernetes.io/service-name: web-%[1]d
addressType: IPv4
ports:
- name: http
  protocol: TCP
  port: 8080
endpoints:
`, i, 96+i>>16, i>>8&255, i&255)
		for e := range 10 {
			fmt.Fprintf(&b, `- addresses:
  - 10.%d.%d.%d
  conditions:
    ready: true
  nodeName: node-%d
`, 1+e, i>>8&255, i&255, e)
		}
	}
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	for _, services := range []int{100, 1000} {
		data := generated(services)
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				bundle, diags := manifest.Decode([]manifest.Source{{Name: "bench.yaml", Data: data}}, manifest.Options{})
				if len(diags) > 0 || len(bundle.Services) != services {
					b.Fatal(diags)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(services), "µs/service")
		})
	}
}

// BenchmarkDecodeCached decodes what a cache has all of.
func BenchmarkDecodeCached(b *testing.B) {
	for _, services := range []int{100, 1000} {
		data := generated(services)
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			sources := []manifest.Source{{Name: "bench.yaml", Data: data}}
			m := newMemory()
			manifest.Decode(sources, manifest.Options{Cache: m})
			full := manifest.Options{Cache: reading(m.values)}
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				bundle, diags := manifest.Decode(sources, full)
				if len(diags) > 0 || len(bundle.Services) != services {
					b.Fatal(diags)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(services), "µs/service")
		})
	}
}

// reading is a cache that is only read.
type reading map[manifest.Key]string

func (r reading) Get(k manifest.Key) (string, bool) { v, ok := r[k]; return v, ok }
func (reading) Put(manifest.Key, func() []byte)     {}

// BenchmarkReference decodes the same with sigs.k8s.io/yaml, as kubectl does, on one processor.
func BenchmarkReference(b *testing.B) {
	const services = 100
	docs := strings.Split(string(generated(services)), "---\n")[1:]
	b.ReportAllocs()
	for b.Loop() {
		for i, doc := range docs {
			var into any = &corev1.Service{}
			if i%2 == 1 {
				into = &discoveryv1.EndpointSlice{}
			}
			if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/services, "µs/service")
}
