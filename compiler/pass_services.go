package compiler

import (
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// fillServices sends every address that has a usable endpoint to the chain of its shape.
func fillServices(st *state) {
	for _, fs := range st.families {
		names := map[Shape]string{}
		st.fillEntries(fs, graph.ServicesMap, func(e *entry) (graph.Data, bool) {
			if !e.serving {
				return graph.Data{}, false
			}
			name, ok := names[e.shape]
			if !ok {
				name = e.shape.Name()
				names[e.shape] = name
			}
			return gotoData(name), true
		})
	}
}

// fillEndpoints writes the endpoints of every address, each in its slot. An address gets the cluster-wide slots, the
// node-local ones or both, as its shape needs them.
func fillEndpoints(st *state) {
	for _, fs := range st.families {
		st.fill(fs, graph.EndpointsMap, fs.slotElements)
	}
}

func (fs *familyState) slotElements() graph.Elements {
	n := 0
	for _, e := range fs.entries {
		if e.shape.Cluster > 0 {
			n += e.cluster.taken
		}
		if e.shape.Local > 0 {
			n += e.local.taken
		}
	}
	elements := fs.elements(graph.EndpointsMap, n)
	for _, e := range fs.entries {
		if e.shape.Cluster > 0 {
			e.writeSlots(&elements, e.cluster, e.Cluster, 0)
		}
		if e.shape.Local > 0 {
			e.writeSlots(&elements, e.local, e.Local, localSlots)
		}
	}
	return elements
}

// writeSlots writes an element for each slot that is taken.
func (e *entry) writeSlots(out *graph.Elements, placed placement, endpoints []resolve.Endpoint, offset uint32) {
	for slot, i := range placed.slots {
		if i < 0 {
			continue
		}
		ep, slot := &endpoints[i], offset+uint32(slot)
		if slot > offset {
			out.AppendSlot(slot, ep.Addr, ep.Pos)
			continue
		}
		key := e.key // the first slot is never empty
		key.Slot = slot
		out.Append(graph.Element{
			Key:   key,
			Data:  graph.Data{Addr: ep.Addr.Addr(), Port: ep.Addr.Port()},
			Owner: e.owner, Pos: ep.Pos,
		})
	}
}
