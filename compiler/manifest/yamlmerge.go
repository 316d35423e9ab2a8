package manifest

import yaml "go.yaml.in/yaml/v3"

// merge adds the entries that a mapping's merge keys (https://yaml.org/type/merge.html) bring, where the mapping has no
// such key of its own: what is written out wins over what is merged, and of several merged mappings the first.
func (b *yamlBuilder) merge(index int32, merges []*yaml.Node, depth int) int {
	size := 0
	own, last := b.keys(index)
	for _, n := range merges {
		source := b.tree.add(node{})
		size += b.build(source, n, depth+1)
		if b.err != nil {
			return 1
		}
		mappings := []int32{source}
		if b.tree.nodes[source].kind == sequenceNode {
			mappings = mappings[:0]
			for i := b.tree.nodes[source].child; i != 0; i = b.tree.nodes[i].next {
				mappings = append(mappings, i)
			}
		}
		for _, m := range mappings {
			if b.tree.nodes[m].kind != mappingNode {
				return b.fail(n, "a merge key takes a mapping or a list of mappings")
			}
			if last = b.mergeEntries(own, index, last, m); b.merged > maxExpansion {
				return b.fail(n, "excessive aliasing: merge keys stand for more than %d entries", maxExpansion)
			}
		}
	}
	return size
}

// keys gives the keys of a mapping and its last child.
func (b *yamlBuilder) keys(index int32) (own map[string]bool, last int32) {
	own = map[string]bool{}
	for i := b.tree.nodes[index].child; i != 0; {
		if text, ok := b.tree.nodes[i].key(); ok {
			own[text] = true
		}
		last = b.tree.nodes[i].next
		i = b.tree.nodes[last].next
	}
	return own, last
}

// mergeEntries copies the entries of mapping m whose keys are not in own, and gives the last child.
func (b *yamlBuilder) mergeEntries(own map[string]bool, index, last, m int32) int32 {
	for i := b.tree.nodes[m].child; i != 0; {
		key, value := b.tree.nodes[i], b.tree.nodes[b.tree.nodes[i].next]
		i = value.next
		b.merged++
		if text, ok := key.key(); ok {
			if own[text] {
				continue
			}
			own[text] = true
		}
		for _, part := range []node{key, value} {
			part.next = 0
			child := b.tree.add(part)
			b.tree.link(index, last, child)
			last = child
		}
	}
	return last
}
