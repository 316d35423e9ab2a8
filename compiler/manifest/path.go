package manifest

import (
	"strconv"
	"strings"
)

// path is a field path: spec.ports[0].port, metadata.labels[app].
type path struct {
	segments []segment
}

// segment is a step of a path: a field of a struct, an item of a list, or a key of a map.
type segment struct {
	kind  segmentKind
	name  string // of a field or key
	index int    // of an item
}

type segmentKind uint8

const (
	fieldSegment segmentKind = iota
	itemSegment
	keySegment
)

func (p *path) field(name string) {
	p.segments = append(p.segments, segment{kind: fieldSegment, name: name})
}

func (p *path) key(name string) {
	p.segments = append(p.segments, segment{kind: keySegment, name: name})
}
func (p *path) item(i int) { p.segments = append(p.segments, segment{kind: itemSegment, index: i}) }
func (p *path) pop()       { p.segments = p.segments[:len(p.segments)-1] }

// String gives the path as the API server writes it.
func (p *path) String() string {
	var b strings.Builder
	for i, s := range p.segments {
		switch {
		case s.kind == itemSegment:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case s.kind == keySegment:
			b.WriteString("[" + s.name + "]")
		case i > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// parsePath reads what [path.String] writes. What is in brackets is a key and, where it is a number, an index, too: only
// the value it is looked up in can tell.
func parsePath(text string) []segment {
	var segments []segment
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "["); ok {
			name, after, _ := strings.Cut(rest, "]")
			index, err := strconv.Atoi(name)
			if err != nil {
				index = -1
			}
			segments = append(segments, segment{itemSegment, name, index})
			text = after
			continue
		}
		text = strings.TrimPrefix(text, ".")
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			end = len(text)
		}
		if end > 0 {
			segments = append(segments, segment{kind: fieldSegment, name: text[:end]})
		}
		text = text[end:]
	}
	return segments
}

// find follows a path from a node as far as it goes.
func (t *tree) find(n int32, segments []segment) int32 {
	for _, s := range segments {
		next, ok := t.value(n, s.name)
		if s.kind == itemSegment && t.nodes[n].kind == sequenceNode {
			next, ok = t.item(n, s.index)
		}
		if !ok {
			break
		}
		n = next
	}
	return n
}
