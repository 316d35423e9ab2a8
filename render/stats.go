package render

import (
	"cmp"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Stats is what is counted about the traffic of one table name, and what is known about how it came to be.
type Stats struct {
	Table, Netns string
	Time         time.Time // when it was read
	// Counters says that the tables count. Without it, connections, refusals and drops are not known.
	Counters  bool
	State     uint64    // serial number of what is applied; 0: nothing is recorded
	Applied   time.Time // since when
	Drifted   bool      // the kernel has something else
	Addresses []AddressStats
	Unserved  []UnservedStats // by family, of the families that have a table
}

// AddressStats is what is counted at one address of a Service port.
type AddressStats struct {
	Namespace, Service, Port string // empty: it is not known whose the address is
	Kind                     string // "ClusterIP", "NodePort", …; empty likewise
	Address                  netip.AddrPort
	Proto                    graph.Proto
	// Connections are those that left for an endpoint, also for one that is gone.
	Connections uint64
	// Refused and Dropped are packets, for want of an endpoint.
	Refused, Dropped uint64
	Clients          int // remembered for session affinity
	Endpoints        []EndpointStats
}

// EndpointStats is what is counted of one endpoint of an address.
type EndpointStats struct {
	Address     netip.AddrPort
	Connections uint64
}

// UnservedStats are the packets that were refused or dropped by rules for all Services, which do not know whose they were.
type UnservedStats struct {
	Family       graph.Family
	UnusedPorts  uint64 // refused: ports of a ClusterIP that are no Service's
	Unallocated  uint64 // dropped: addresses of the service ranges that are no Service's
	SourceRanges uint64 // dropped: sources that loadBalancerSourceRanges rules out
}

// Sort puts addresses, and the endpoints of each, into the order in which they are shown: by name, then by address.
// Addresses of nobody come last.
func (s *Stats) Sort() {
	slices.SortFunc(s.Addresses, func(a, b AddressStats) int {
		return cmp.Or(compareUnnamed(a, b), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Service, b.Service),
			strings.Compare(a.Port, b.Port), a.Address.Compare(b.Address), cmp.Compare(a.Proto, b.Proto))
	})
	for i := range s.Addresses {
		slices.SortFunc(s.Addresses[i].Endpoints, func(a, b EndpointStats) int { return a.Address.Compare(b.Address) })
	}
	slices.SortFunc(s.Unserved, func(a, b UnservedStats) int { return cmp.Compare(a.Family, b.Family) })
}

func compareUnnamed(a, b AddressStats) int {
	switch named, other := a.Service != "", b.Service != ""; {
	case named == other:
		return 0
	case named:
		return -1
	default:
		return 1
	}
}

// String gives the address as listings have it: "10.96.0.1:80/tcp", a node port as "*:30000/tcp".
func (a *AddressStats) String() string {
	text := a.Address.String()
	if a.Address.Addr().IsUnspecified() {
		text = "*:" + strconv.Itoa(int(a.Address.Port()))
		if a.Address.Addr().Is6() {
			text = "[*]:" + strconv.Itoa(int(a.Address.Port()))
		}
	}
	return text + "/" + a.Proto.String()
}

// StatsOptions say what StatsTable shows.
type StatsOptions struct {
	Endpoints bool // a row for each endpoint, below that of its address
	// Before is what was read before: then the connections per second since are shown, too.
	Before *Stats
}

// StatsTable writes the addresses as a table in kubectl's layout. The error is that of the writer.
func StatsTable(w io.Writer, s *Stats, opts StatsOptions) error {
	t := table{columns: []string{"NAMESPACE", "SERVICE", "PORT", "ADDRESS"}}
	if opts.Endpoints {
		t.columns = append(t.columns, "ENDPOINT")
	}
	if s.Counters {
		t.columns = append(t.columns, "CONNECTIONS")
		if opts.Before != nil {
			t.columns = append(t.columns, "PER SECOND")
		}
		t.columns = append(t.columns, "REFUSED", "DROPPED")
	}
	t.columns = append(t.columns, "CLIENTS")
	rates := newRates(s, opts.Before)
	for i := range s.Addresses {
		a := &s.Addresses[i]
		row := func(endpoint string, connections uint64, rest ...string) {
			cells := []string{cmp.Or(a.Namespace, unknown), cmp.Or(a.Service, unknown), cmp.Or(a.Port, unset), a.String()}
			if opts.Endpoints {
				cells = append(cells, endpoint)
			}
			if s.Counters {
				cells = append(cells, number(connections))
				if opts.Before != nil {
					key := a.String()
					if endpoint != allEndpoints {
						key += " " + endpoint
					}
					cells = append(cells, rates.of(key, connections))
				}
			}
			t.rows = append(t.rows, append(cells, rest...))
		}
		clients := strconv.Itoa(a.Clients)
		if s.Counters {
			row(allEndpoints, a.Connections, number(a.Refused), number(a.Dropped), clients)
		} else {
			row(allEndpoints, 0, clients)
		}
		if !opts.Endpoints || !s.Counters {
			continue
		}
		for _, e := range a.Endpoints {
			row(e.Address.String(), e.Connections, "", "", "")
		}
	}
	return t.write(w, TableOptions{})
}

// allEndpoints stands for all endpoints of an address.
const allEndpoints = "<all>"

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// rates tells connections per second from two readings.
type rates struct {
	before  map[string]uint64
	seconds float64
}

func newRates(now, before *Stats) rates {
	r := rates{before: map[string]uint64{}}
	if before == nil {
		return r
	}
	r.seconds = now.Time.Sub(before.Time).Seconds()
	for i := range before.Addresses {
		a := &before.Addresses[i]
		r.before[a.String()] = a.Connections
		for _, e := range a.Endpoints {
			r.before[a.String()+" "+e.Address.String()] = e.Connections
		}
	}
	return r
}

// of gives the connections per second. What counts less than before has begun anew.
func (r rates) of(key string, connections uint64) string {
	before, known := r.before[key]
	if !known || connections < before || r.seconds <= 0 {
		return unknown
	}
	return strconv.FormatFloat(float64(connections-before)/r.seconds, 'f', 1, 64)
}

// connections are what was counted, by address and protocol; nil where nothing is counted.
type connections map[string]*AddressStats

func connectionsOf(s *Stats) connections {
	if s == nil {
		return nil
	}
	c := connections{}
	for i := range s.Addresses {
		a := &s.Addresses[i]
		c[a.Address.String()+"/"+a.Proto.String()] = a
	}
	return c
}

// at gives what was counted at an address of a Service port.
func (c connections) at(p *resolve.ServicePort, a *resolve.Address) *AddressStats {
	if found := c[netip.AddrPortFrom(a.Addr, a.Port).String()+"/"+strings.ToLower(string(p.Protocol))]; found != nil {
		return found
	}
	return &AddressStats{}
}

// of gives the connections of an endpoint from all addresses of a Service port.
func (c connections) of(p *resolve.ServicePort, endpoint netip.AddrPort) uint64 {
	n := uint64(0)
	for i := range p.Addresses {
		for _, e := range c.at(p, &p.Addresses[i]).Endpoints {
			if e.Address == endpoint {
				n += e.Connections
			}
		}
	}
	return n
}
