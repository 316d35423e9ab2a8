package compiler

import (
	"cmp"
	"strconv"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// Shape is a way of choosing an endpoint: one chain of the program, whatever number of service ports uses it.
type Shape struct {
	// NodePort shapes look endpoints up under the unspecified address, because a node port is served on any of the
	// node's own.
	NodePort bool
	// Hash shapes draw slots by a hash of the client's address, the others at random.
	Hash bool
	// Affinity shapes send a client they know to the endpoint it had.
	Affinity bool
	// Cluster and Local are the numbers of slots, 0 for none. With Cluster alone any endpoint is used (random-4), with
	// Local alone only the node's own (local-random-4). With both, pods and the node itself use the cluster-wide
	// endpoints and everybody else the node's own (local-random-1-4); there Local may be 0 and nobody else is served.
	Cluster, Local int
	// External marks the last case, which Cluster and Local do not tell when Local is 0.
	External bool
}

// shapeOf gives the shape for an address of a port, and whether any endpoint can be used there at all.
func shapeOf(p *port, at *resolve.Address) (Shape, bool) {
	s := Shape{NodePort: at.Kind == resolve.NodePort, Affinity: p.Affinity > 0, Hash: p.SourceHash}
	switch {
	case !at.LocalOnly:
		s.Cluster = len(p.cluster.slots)
	case at.Kind == resolve.ClusterIP:
		s.Local = len(p.local.slots)
	default:
		s.Cluster, s.Local, s.External = len(p.cluster.slots), len(p.local.slots), true
	}
	return s, s.Cluster+s.Local > 0
}

// Name is the name of the shape's chain.
func (s Shape) Name() string {
	name := ""
	if s.NodePort {
		name += "node-port-"
	}
	if s.Affinity {
		name += "affinity-"
	}
	draw := "random-"
	if s.Hash {
		draw = "hash-"
	}
	switch {
	case s.External:
		return name + "local-" + draw + strconv.Itoa(s.Local) + "-" + strconv.Itoa(s.Cluster)
	case s.Local > 0:
		return name + "local-" + draw + strconv.Itoa(s.Local)
	default:
		return name + draw + strconv.Itoa(s.Cluster)
	}
}

// parts are the simpler shapes that a shape's chain goes to: for External first the one for everybody's endpoints, then
// the one for the node's own.
func (s Shape) parts() []Shape {
	plain := Shape{NodePort: s.NodePort, Hash: s.Hash, Cluster: s.Cluster}
	local := Shape{NodePort: s.NodePort, Hash: s.Hash, Local: s.Local}
	switch {
	case s.Affinity:
		s.Affinity = false
		return []Shape{s}
	case s.External && s.Cluster > 0 && s.Local > 0:
		return []Shape{plain, local}
	case s.External && s.Cluster > 0:
		return []Shape{plain}
	case s.External:
		return []Shape{local}
	default:
		return nil
	}
}

// compare orders shapes from the simple to the composed, so that a chain comes after those it goes to.
func (s Shape) compare(o Shape) int {
	return cmp.Or(compareBool(s.Affinity, o.Affinity), compareBool(s.External, o.External),
		compareBool(s.Hash, o.Hash), compareBool(s.NodePort, o.NodePort), compareBool(s.Local > 0, o.Local > 0),
		cmp.Compare(s.Local, o.Local), cmp.Compare(s.Cluster, o.Cluster))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
