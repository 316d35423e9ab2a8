package compiler

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// state is what the passes work on: the model cut into entries, and the graph as far as it is built.
type state struct {
	cfg  Config
	rs   *graph.Ruleset
	pass string

	families []*familyState
	fills    []fill  // what settle has to do
	broken   []error // what it found
}

// fill is a set that a pass gives elements to.
type fill struct {
	pass     string
	table    *graph.Table
	set      *graph.Set
	elements func() graph.Elements
}

// familyState is the part of one address family.
type familyState struct {
	family  graph.Family
	table   *graph.Table
	entries []*entry // sorted by key
	ports   []*port  // in the order of the model
}

// port is a ServicePort while it is compiled: what its entries share.
type port struct {
	*resolve.ServicePort
	proto          graph.Proto
	owner          *graph.Owner
	cluster, local placement
}

// entry is one address of a port: one element of the map "services".
type entry struct {
	*port
	at  *resolve.Address
	key graph.Key
	// shape is how an endpoint is chosen; without one the address is not in "services".
	shape   Shape
	serving bool
}

func newState(m *resolve.Model, cfg Config) *state {
	st := &state{cfg: cfg, rs: &graph.Ruleset{}}
	for _, f := range graph.Families {
		st.families = append(st.families, newFamilyState(m, f))
	}
	return st
}

func newFamilyState(m *resolve.Model, f graph.Family) *familyState {
	fs := &familyState{family: f}
	var own []*resolve.ServicePort
	var begin []int // of each port's entries
	n := 0
	for _, sp := range m.ServicePorts {
		if familyOf(sp.Family) == f {
			own, begin = append(own, sp), append(begin, n)
			n += len(sp.Addresses)
		}
	}
	// One piece of memory for all of a kind: there may be a hundred thousand.
	ports, owners, entries := make([]port, len(own)), make([]graph.Owner, len(own)), make([]entry, n)
	fs.ports, fs.entries = make([]*port, len(own)), make([]*entry, n)
	inParallel(len(own), func(from, to int) {
		var places placer
		for i := from; i < to; i++ {
			sp := own[i]
			owners[i] = graph.Owner{Service: sp.Service.Ref, Port: sp.Name, Pos: sp.Pos, Spared: sp.Spared}
			ports[i] = port{
				ServicePort: sp, proto: protoOf(sp.Protocol), owner: &owners[i],
				cluster: places.of(sp.Cluster, sp.SourceHash),
				local:   places.of(sp.Local, sp.SourceHash),
			}
			fs.ports[i] = &ports[i]
			for k := range sp.Addresses {
				e := &entries[begin[i]+k]
				*e = newEntry(&ports[i], &sp.Addresses[k])
				fs.entries[begin[i]+k] = e
			}
		}
	})
	sortEntries(f, fs.entries)
	return fs
}

// sortEntries puts entries into the order of their keys, no two of which are the same. Those of IPv4 fit into one word.
func sortEntries(f graph.Family, entries []*entry) {
	if f == graph.IPv6 {
		slices.SortFunc(entries, func(a, b *entry) int { return a.key.Compare(b.key) })
		return
	}
	type numbered struct {
		key uint64
		*entry
	}
	byKey := make([]numbered, len(entries))
	for i, e := range entries {
		a := e.key.Addr.As4()
		byKey[i] = numbered{
			uint64(binary.BigEndian.Uint32(a[:]))<<32 | uint64(e.key.Proto)<<16 | uint64(e.key.Port), e,
		}
	}
	slices.SortFunc(byKey, func(a, b numbered) int { return cmp.Compare(a.key, b.key) })
	for i := range byKey {
		entries[i] = byKey[i].entry
	}
}

func newEntry(p *port, at *resolve.Address) entry {
	e := entry{port: p, at: at, key: graph.Key{Addr: at.Addr, Proto: p.proto, Port: at.Port}}
	e.shape, e.serving = shapeOf(p, at)
	return e
}

// fill says what elements a set has: those that the function gives, when [state.settle] calls it.
func (st *state) fill(fs *familyState, name string, elements func() graph.Elements) {
	st.fills = append(st.fills, fill{st.pass, fs.table, fs.table.Set(name), elements})
}

// settle gives the sets their elements, in canonical order, and proves the invariants of the graph about them. It works on
// several sets at a time.
func (st *state) settle() {
	errs := make([]error, len(st.fills))
	each(len(st.fills), func(i int) {
		f := &st.fills[i]
		f.set.Elements = f.elements()
		f.set.SortElements()
		if err := graph.CheckElements(f.table, f.set); err != nil {
			errs[i] = passError(f.pass, err)
		}
	})
	st.fills, st.broken = nil, append(st.broken, errs...)
}

// elements gives an empty list with room for n elements of a set.
func (fs *familyState) elements(set string, n int) graph.Elements {
	return graph.MakeElements(fs.family, fs.table.Set(set), n)
}

// fillEntries gives a map keyed by service address one element for each entry that data knows.
func (st *state) fillEntries(fs *familyState, name string, data func(*entry) (graph.Data, bool)) {
	st.fill(fs, name, func() graph.Elements {
		elements := fs.elements(name, len(fs.entries))
		for _, e := range fs.entries {
			if d, ok := data(e); ok {
				elements.Append(graph.Element{Key: e.key, Data: d, Owner: e.owner, Pos: e.Pos})
			}
		}
		return elements
	})
}

// addChain appends a chain of the current pass.
func (st *state) addChain(fs *familyState, name string, hook *graph.Hook, owner *graph.Owner, rules ...graph.Rule) {
	fs.table.Chains = append(fs.table.Chains,
		&graph.Chain{Name: name, Hook: hook, Rules: rules, Pass: st.pass, Owner: owner})
}

// check proves the invariants of the graph after a pass, as far as it is settled.
func (st *state) check() error {
	errs := st.broken
	for _, t := range st.rs.Tables {
		if err := graph.CheckProgram(t); err != nil {
			errs = append(errs, passError(st.pass, err))
		}
	}
	return errors.Join(errs...)
}

func passError(pass string, err error) error {
	return fmt.Errorf("compiler: after pass %q: %w", pass, err)
}

func familyOf(f corev1.IPFamily) graph.Family {
	if f == corev1.IPv6Protocol {
		return graph.IPv6
	}
	return graph.IPv4
}

func protoOf(p corev1.Protocol) graph.Proto {
	switch p {
	case corev1.ProtocolUDP:
		return graph.UDP
	case corev1.ProtocolSCTP:
		return graph.SCTP
	case corev1.ProtocolTCP:
		return graph.TCP
	default:
		panic("compiler: protocol " + string(p) + " was not refused by resolve")
	}
}
