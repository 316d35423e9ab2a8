package main

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler"
	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/nft"
	"github.com/svcctl/svcctl/render"
)

// addressName says whose an address is.
type addressName struct {
	service diag.Object
	port    string
	kind    resolve.AddressKind
}

// addressNames are the names of the addresses of a record. Counters have none: the kernel knows addresses only.
type addressNames struct {
	state uint64 // serial number of the record; 0: none was read
	names map[graph.Key]addressName
}

// of gives the names of what is recorded as applied. That they are not to be had is worth a warning: the numbers are right
// without them.
func (n *addressNames) of(ctx context.Context, c *cli, serial uint64) map[graph.Key]addressName {
	if serial == 0 {
		return nil
	}
	if n.state == serial {
		return n.names
	}
	n.state, n.names = serial, nil
	in, err := c.look(ctx, &scope{input: inputFlags{quiet: true}})
	if err != nil {
		if err.Error() != "" {
			c.notef("warning: addresses without names: %v", err)
		}
		return nil
	}
	n.names = namesOf(in.model)
	return n.names
}

func namesOf(m *resolve.Model) map[graph.Key]addressName {
	names := map[graph.Key]addressName{}
	for _, p := range m.ServicePorts {
		for i := range p.Addresses {
			at := &p.Addresses[i]
			names[graph.Key{Addr: at.Addr, Proto: protoOf(p.Protocol), Port: at.Port}] = addressName{
				p.Service.Ref, p.Name, at.Kind,
			}
		}
	}
	return names
}

func protoOf(p corev1.Protocol) graph.Proto {
	switch p {
	case corev1.ProtocolUDP:
		return graph.UDP
	case corev1.ProtocolSCTP:
		return graph.SCTP
	default:
		return graph.TCP
	}
}

// readStats reads everything that stats shows.
func (c *cli) readStats(ctx context.Context, names *addressNames) (*render.Stats, error) {
	status, err := c.readStatus(ctx)
	if err != nil {
		return nil, err
	}
	s := &render.Stats{Table: c.config.Table, Netns: c.config.Netns, Drifted: status.Drifted}
	if status.Applied != nil {
		s.State, s.Applied = status.Applied.State, status.Applied.Time
	}
	counters, err := c.readCounters(ctx)
	if err != nil {
		return nil, err
	}
	s.Time = c.env.now()
	joinCounters(s, counters, names.of(ctx, c, s.State))
	return s, nil
}

func (c *cli) readCounters(ctx context.Context) (*nft.Counters, error) {
	store := c.store()
	known := c.recall(store, c.loadRecordQuietly(store))
	t, err := c.openTarget(true)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return t.conn.ReadCounters(ctx, c.config.Table, known())
}

// countedOf gives what was counted of Services of a model that is recorded as applied. It is nil where nothing is counted,
// and where that cannot be found out: to describe a Service takes neither a kernel nor privileges.
func (c *cli) countedOf(ctx context.Context, m *resolve.Model, services []*resolve.Service) *render.Stats {
	described := make(map[*resolve.Service]bool, len(services))
	for _, s := range services {
		described[s] = true
	}
	own := *m
	own.ServicePorts = nil
	for _, p := range m.ServicePorts {
		if described[p.Service] {
			own.ServicePorts = append(own.ServicePorts, p)
		}
	}
	cfg := c.config.Compiler()
	cfg.Counters = true // whatever the configuration says by now
	wanted, err := compiler.Compile(&own, cfg)
	if err != nil {
		c.log.Debug("what would be counted is not known", "error", err)
		return nil
	}
	t, err := c.openTarget(true)
	if err != nil {
		c.log.Debug("what was counted cannot be read", "error", err)
		return nil
	}
	defer t.close()
	counters, err := t.conn.ReadCountersOf(ctx, c.config.Table, wanted)
	if err != nil {
		c.log.Debug("what was counted cannot be read", "error", err)
		return nil
	}
	s := &render.Stats{}
	joinCounters(s, counters, nil)
	if !s.Counters {
		return nil
	}
	return s
}

// joinCounters puts together what was counted and whose it is. Where nothing is counted, the addresses are those that have a
// name, or somebody who is remembered.
func joinCounters(s *render.Stats, counters *nft.Counters, names map[graph.Key]addressName) {
	j := &joiner{byKey: map[graph.Key]*render.AddressStats{}, names: names}
	for _, t := range counters.Tables {
		if _, counts := t.Sets[graph.ServiceConnectionsSet]; counts {
			s.Counters = true
		}
		j.table(&t)
		s.Unserved = append(s.Unserved, unservedOf(&t))
	}
	for _, t := range counters.Learnt.Tables {
		if set := t.Set(graph.AffinityMap); set != nil {
			for e := range set.Elements.All() {
				j.at(graph.Key{Addr: e.Key.Peer, Proto: e.Key.Proto, Port: e.Key.Port}).Clients++
			}
		}
	}
	if !s.Counters && len(counters.Tables) > 0 {
		for key := range names {
			j.at(key)
		}
	}
	for _, a := range j.byKey {
		s.Addresses = append(s.Addresses, *a)
	}
	s.Sort()
}

// joiner gathers by service address.
type joiner struct {
	byKey map[graph.Key]*render.AddressStats
	names map[graph.Key]addressName
}

func (j *joiner) at(key graph.Key) *render.AddressStats {
	if a := j.byKey[key]; a != nil {
		return a
	}
	a := &render.AddressStats{Address: netip.AddrPortFrom(key.Addr, key.Port), Proto: key.Proto}
	if n, known := j.names[key]; known {
		a.Namespace, a.Service, a.Port, a.Kind = n.service.Namespace, n.service.Name, n.port, n.kind.String()
	}
	j.byKey[key] = a
	return a
}

func (j *joiner) table(t *nft.TableCounters) {
	for _, e := range t.Sets[graph.ServiceConnectionsSet] {
		j.at(e.Key).Connections = e.Packets
	}
	for _, e := range t.Sets[graph.EndpointConnectionsSet] {
		a := j.at(graph.Key{Addr: e.Key.Addr, Proto: e.Key.Proto, Port: e.Key.Port})
		a.Endpoints = append(a.Endpoints, render.EndpointStats{
			Address: netip.AddrPortFrom(e.Key.Peer, e.Key.PeerPort), Connections: e.Packets,
		})
	}
	for _, e := range t.Sets[graph.NoEndpointsMap] {
		if a := j.at(e.Key); e.Data.Verdict.Op == graph.Drop {
			a.Dropped = e.Packets
		} else {
			a.Refused = e.Packets
		}
	}
}

// unservedOf tells the rules that count apart by the sets they look into.
func unservedOf(t *nft.TableCounters) render.UnservedStats {
	u := render.UnservedStats{Family: t.Family}
	for i := range t.Rules {
		r := &t.Rules[i]
		for _, stmt := range r.Rule.Stmts {
			m, ok := stmt.(graph.MatchSet)
			if !ok {
				continue
			}
			switch m.Set {
			case graph.ClusterIPsSet:
				u.UnusedPorts += r.Packets
			case graph.ServiceCIDRsSet:
				u.Unallocated += r.Packets
			case graph.SourceRangesSet:
				u.SourceRanges += r.Packets
			}
		}
	}
	return u
}
