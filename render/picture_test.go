package render

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
)

// manyServices are n services in so many namespaces; every tenth has no endpoint.
func manyServices(n, namespaces int, name string) *behaviour.Behaviour {
	b := &behaviour.Behaviour{}
	addr, endpoint := netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.1.0.1")
	for i := range n {
		owner := &graph.Owner{Port: name, Service: diag.Object{
			Kind: "service", Namespace: fmt.Sprintf("team-%02d%s", i%namespaces, name), Name: fmt.Sprintf("svc-%04d%s", i, name),
		}}
		a := behaviour.Address{Key: behaviour.Key{Addr: addr, Proto: graph.TCP, Port: 80}, Owner: owner}
		for c := range a.Reach {
			if i%10 == 9 {
				a.Reach[c].Fate = behaviour.Refused
				continue
			}
			a.Shape = fmt.Sprintf("random-%d", 1<<(i%4))
			a.Reach[c].Shares = []behaviour.Share{{Endpoint: netip.AddrPortFrom(endpoint, 8080), Part: 1}}
		}
		addr, endpoint = addr.Next(), endpoint.Next()
		b.Addresses = append(b.Addresses, a)
	}
	return b
}

// texts gives all text of an SVG, and fails where it is not well-formed XML.
func texts(t testing.TB, svg string) []string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	var out []string
	element := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
		switch x := token.(type) {
		case xml.StartElement:
			element = x.Name.Local
		case xml.CharData:
			if element == "text" && strings.TrimSpace(string(x)) != "" {
				out = append(out, string(x))
			}
		}
	}
}

func TestPictureOfFew(t *testing.T) {
	text := strings.Join(texts(t, written(t, func(w io.Writer) error { return ServicesSVG(w, manyServices(10, 3, "")) })), "\n")
	for _, want := range []string{
		"team-00/svc-0000\n10.96.0.1:80/tcp\nClusterIP\nrandom-1\n10.1.0.1:8080  100%\n", "\nno endpoint\nrefused",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}

// A picture of a thousand services is no larger than people can look at, and names those that serve nobody.
func TestPictureOfMany(t *testing.T) {
	for n, namespaces := range map[int]int{1000: 12, 5000: 600} {
		b := manyServices(n, namespaces, "")
		svg := written(t, func(w io.Writer) error { return ServicesSVG(w, b) })
		got := texts(t, svg)
		text := strings.Join(got, "\n") + "\n"
		want := []string{
			fmt.Sprintf("%d services\n", n), fmt.Sprintf("%d more without endpoints\n", n/10-maxOverviewRows),
			"/svc-0109\n", fmt.Sprintf("random-1\n%d services, ", n/4), fmt.Sprintf("no endpoint\n%d services, ", n/10),
		}
		if namespaces == 600 {
			want = append(want, "560 more namespaces\n")
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%d services: lacks %q:\n%s", n, w, text)
			}
		}
		if len(got) > 300 || len(svg) > 200_000 {
			t.Errorf("%d services: %d lines of text, %d bytes", n, len(got), len(svg))
		}
	}
}

// Nodes of a column never overlap, and everything is inside of the page.
func TestPictureLayout(t *testing.T) {
	for _, b := range []*behaviour.Behaviour{manyServices(10, 3, ""), manyServices(1000, 12, ""), {}} {
		p := newPicture(b)
		d := svgDrawing{out: newWriter(io.Discard)}
		d.layout(p)
		for gi, g := range p.groups {
			var below [3]int
			x := d.groups[gi]
			for i := range g.nodes {
				n := &g.nodes[i]
				if x.tops[i] < below[n.column] || x.tops[i] < x.top+svgTitle {
					t.Errorf("%v at %d overlaps what ends at %d", n.lines, x.tops[i], below[n.column])
				}
				below[n.column] = x.tops[i] + nodeHeight(n)
				if below[n.column] > x.top+x.height || x.top+x.height > d.height || d.lefts[n.column]+d.widths[n.column] > d.width-svgMargin {
					t.Errorf("%v is not inside", n.lines)
				}
			}
		}
	}
}

func TestPictureIsGraphviz(t *testing.T) {
	if _, err := exec.LookPath("dot"); err != nil {
		t.Skip("no Graphviz: ", err)
	}
	hostileName := "</text>\"];}\\" + hostile
	for _, b := range []*behaviour.Behaviour{manyServices(10, 3, ""), manyServices(1000, 12, ""), manyServices(3, 1, hostileName), {}} {
		cmd := exec.CommandContext(t.Context(), "dot", "-Tsvg")
		cmd.Stdin = strings.NewReader(written(t, func(w io.Writer) error { return ServicesDOT(w, b) }))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 || !bytes.Contains(out, []byte("</svg>")) {
			t.Errorf("dot: %v\n%s", err, stderr.String())
		}
	}
}

// FuzzPicture gives Services any names: the picture has the elements it has with a plain one.
func FuzzPicture(f *testing.F) {
	f.Add("web")
	f.Add("</text><script>alert(1)</script>&amp;]]>")
	f.Add("\"];\n}\\")
	f.Add(hostile)
	elements := func(svg string) int { return strings.Count(svg, "<") }
	f.Fuzz(func(t *testing.T, name string) {
		for _, n := range []int{2, maxPictured + 1} {
			svg := written(t, func(w io.Writer) error { return ServicesSVG(w, manyServices(n, 2, name)) })
			texts(t, svg)
			checkPlain(t, svg)
			// A name that is too long for its place has a tooltip, and an empty one no port.
			long := strings.Repeat("x", len([]rune(name)))
			same := written(t, func(w io.Writer) error { return ServicesSVG(w, manyServices(n, 2, long)) })
			if elements(svg) != elements(same) {
				t.Errorf("%d elements, %d with a plain name:\n%s", elements(svg), elements(same), svg)
			}
			dot := written(t, func(w io.Writer) error { return ServicesDOT(w, manyServices(n, 2, name)) })
			checkPlain(t, strings.ReplaceAll(dot, "\t", ""))
			for line := range strings.Lines(dot) {
				if strings.Count(line, `"`)%2 != 0 {
					t.Errorf("open quotes: %q", line)
				}
			}
		}
	})
}
