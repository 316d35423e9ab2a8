package manifest

import (
	"errors"
	"fmt"
	"io"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// maxExpansion is how many nodes the aliases of a document may stand for, together: the figure at which the YAML library
// of kubectl speaks of excessive aliasing.
const maxExpansion = 400_000

// parseYAML reads a document of any form with the YAML library. It is the slow and sure way: [parsePlain] and [parseJSON]
// read what most documents are made of, and leave everything else to it.
func parseYAML(t *tree, d *document) *syntaxError {
	t.reset()
	if err := checkCharacters(d); err != nil {
		return err
	}
	root, err := yamlRoot(d)
	if err != nil {
		return err
	}
	t.add(node{line: d.line, column: d.column})
	if root == nil {
		return nil
	}
	b := yamlBuilder{tree: t, anchors: map[*yaml.Node]anchored{}, lines: newLineMap(d)}
	b.build(0, root, 0)
	return b.err
}

// yamlRoot gives the root of the only document in the text, nil where there is none.
func yamlRoot(d *document) (root *yaml.Node, err *syntaxError) {
	// The library panics on some inputs that are not YAML.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, &syntaxError{d.line, 0, "not YAML"}
		}
	}()
	// Spaces stand for what comes before an item on its line, so that columns are right.
	text := strings.Repeat(" ", int(d.column-1)) + d.text
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, libraryError(d, text, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &syntaxError{newLineMap(d).line(second.Line), int32(second.Column), "a second document begins without ---"}
	case !errors.Is(err, io.EOF):
		return nil, libraryError(d, text, err)
	}
	if first.Kind == yaml.DocumentNode {
		return first.Content[0], nil
	}
	return &first, nil
}

// yamlBuilder makes a tree of the library's nodes: aliases and merge keys resolved, scalars as YAML 1.1 has them.
type yamlBuilder struct {
	tree    *tree
	anchors map[*yaml.Node]anchored // what aliases may refer to
	lines   lineMap
	merged  int // entries copied by merge keys
	err     *syntaxError
}

// anchored is an anchor's node in the tree.
type anchored struct {
	index int32
	size  int // in nodes, aliases expanded; 0 while it is still being built
}

func (b *yamlBuilder) fail(n *yaml.Node, format string, args ...any) int {
	if b.err == nil {
		b.err = &syntaxError{b.lines.line(n.Line), int32(n.Column), fmt.Sprintf(format, args...)}
	}
	return 1
}

// new adds a node that stands where n stands.
func (b *yamlBuilder) new(n *yaml.Node) int32 {
	return b.tree.add(node{line: b.lines.line(n.Line), column: int32(n.Column)})
}

// build fills in the node at index and gives its size in nodes, aliases expanded.
func (b *yamlBuilder) build(index int32, n *yaml.Node, depth int) int {
	if b.err != nil {
		return 1
	}
	if depth > maxDepth {
		return b.fail(n, "nested deeper than %d levels", maxDepth)
	}
	at := &b.tree.nodes[index]
	at.line, at.column = b.lines.line(n.Line), int32(n.Column)
	if n.Anchor != "" {
		b.anchors[n] = anchored{index: index}
	}
	size := 1
	switch n.Kind {
	case yaml.ScalarNode:
		b.scalar(at, n)
	case yaml.SequenceNode:
		at.kind = sequenceNode
		size += b.sequence(index, n, depth)
	case yaml.MappingNode:
		at.kind = mappingNode
		size += b.mapping(index, n, depth)
	case yaml.AliasNode:
		size = b.alias(index, n)
	case yaml.DocumentNode:
		return b.fail(n, "a document in a document")
	}
	if size > maxExpansion && size > 10*len(b.tree.nodes) {
		return b.fail(n, "excessive aliasing: aliases stand for more than %d nodes", maxExpansion)
	}
	if n.Anchor != "" {
		b.anchors[n] = anchored{index, size}
	}
	return size
}

func (b *yamlBuilder) scalar(at *node, n *yaml.Node) {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		if err := at.resolveTagged(n.Tag, n.Value); err != nil {
			b.fail(n, "%v", err)
		}
	case quoted:
		at.kind, at.text = stringNode, n.Value
	default:
		at.resolvePlain(n.Value)
	}
}

func (b *yamlBuilder) alias(index int32, n *yaml.Node) int {
	target, ok := b.anchors[n.Alias]
	if !ok || target.size == 0 {
		return b.fail(n, "the anchor %q contains itself", n.Value)
	}
	at, source := &b.tree.nodes[index], &b.tree.nodes[target.index]
	at.kind, at.plain, at.text, at.child = source.kind, source.plain, source.text, source.child
	return target.size
}

func (b *yamlBuilder) sequence(index int32, n *yaml.Node, depth int) int {
	size, prev := 0, int32(0)
	for _, item := range n.Content {
		child := b.new(item)
		b.tree.link(index, prev, child)
		size += b.build(child, item, depth+1)
		prev = child
	}
	return size
}

func (b *yamlBuilder) mapping(index int32, n *yaml.Node, depth int) int {
	size, prev := 0, int32(0)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			merges = append(merges, n.Content[i+1])
			continue
		}
		for _, part := range n.Content[i : i+2] {
			child := b.new(part)
			b.tree.link(index, prev, child)
			size += b.build(child, part, depth+1)
			prev = child
		}
	}
	if len(merges) > 0 {
		size += b.merge(index, merges, depth)
	}
	return size
}

func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && n.Tag == "!!merge"
}
