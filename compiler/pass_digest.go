package compiler

import "github.com/svcctl/svcctl/compiler/graph"

// addDigest gives every table the digest of what it holds. It goes into the kernel in the transaction that it describes, so
// that whoever finds it there knows what is in the table without reading a single element.
func addDigest(st *state) {
	for _, fs := range st.families {
		st.addChain(fs, graph.AppliedChain(fs.table.Digest()), nil, nil)
	}
}
