package manifest

// kind is what a node is after its scalar has been resolved.
type kind uint8

const (
	nullNode kind = iota
	falseNode
	trueNode
	numberNode
	stringNode
	sequenceNode
	mappingNode
)

// node is one value of a document. Nodes live in a [tree] and refer to each other by index, so that a tree is one
// allocation that the next document reuses: a list of ten thousand objects has a million nodes.
type node struct {
	kind         kind
	plain        bool  // a scalar without quotes or tag: whether it is a string depends on how it looks
	line, column int32 // from 1; column counts characters
	child, next  int32 // first child, next sibling; 0: none, for node 0 is the root and nobody's child
	// text is a string's value, a number as JSON writes it, a boolean as the user wrote it.
	text string
}

// tree is a parsed document. The root is node 0. A mapping's children are key, value, key, value.
//
// An alias shares the children of what it stands for, so that a tree is never larger than its document; walking it can
// be, which is why whoever builds a tree bounds its expanded size (see [maxExpansion]).
type tree struct {
	nodes []node
}

// maxDepth is the deepest nesting accepted. The deepest field of a Pod is about 15 levels down; recursion over a hostile
// document must end somewhere.
const maxDepth = 100

func (t *tree) reset() { t.nodes = t.nodes[:0] }

// add appends a node and gives its index.
func (t *tree) add(n node) int32 {
	t.nodes = append(t.nodes, n)
	return int32(len(t.nodes) - 1)
}

// link makes child the one after prev, or the first one of parent where prev is 0.
func (t *tree) link(parent, prev, child int32) {
	if prev == 0 {
		t.nodes[parent].child = child
	} else {
		t.nodes[prev].next = child
	}
}

// count gives the number of children.
func (t *tree) count(parent int32) int {
	n := 0
	for i := t.nodes[parent].child; i != 0; i = t.nodes[i].next {
		n++
	}
	return n
}

// value gives the value of a mapping's key, and whether the node is a mapping that has it.
func (t *tree) value(parent int32, key string) (int32, bool) {
	if t.nodes[parent].kind != mappingNode {
		return 0, false
	}
	for i := t.nodes[parent].child; i != 0; {
		value := t.nodes[i].next
		if text, ok := t.nodes[i].key(); ok && text == key {
			return value, true
		}
		i = t.nodes[value].next
	}
	return 0, false
}

// item gives the i-th child of a sequence.
func (t *tree) item(parent int32, index int) (int32, bool) {
	if t.nodes[parent].kind != sequenceNode {
		return 0, false
	}
	for i := t.nodes[parent].child; i != 0; i = t.nodes[i].next {
		if index == 0 {
			return i, true
		}
		index--
	}
	return 0, false
}

// stringValue gives the string under a key, or "" where there is none.
func (t *tree) stringValue(parent int32, key string) string {
	if v, ok := t.value(parent, key); ok && t.nodes[v].kind == stringNode {
		return t.nodes[v].text
	}
	return ""
}

// key gives the text of a mapping's key: kubectl makes the boolean y the key "true" and the number 010 the key "8", as
// JSON knows only strings there. It reports whether the node can be a key at all.
func (n *node) key() (string, bool) {
	switch n.kind {
	case stringNode:
		return n.text, true
	case numberNode:
		return numberKey(n.text)
	case trueNode:
		return "true", true
	case falseNode:
		return "false", true
	case nullNode, sequenceNode, mappingNode:
	}
	return "", false
}

// describe says what was found, for messages.
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "nothing"
	case falseNode, trueNode:
		return "the boolean " + n.text
	case numberNode:
		return "the number " + n.text
	case stringNode:
		return "a string"
	case sequenceNode:
		return "a list"
	case mappingNode:
		return "a mapping"
	}
	return "nothing"
}
