package render

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// StatsPrometheus writes the statistics in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/),
// without timestamps, which node_exporter's textfile collector refuses. The families are in the order of their names, the
// samples in that of Stats. What is not counted is left out, HELP, TYPE and all. The error is that of the writer.
func StatsPrometheus(w io.Writer, s *Stats) error {
	p := &prometheus{writer: newWriter(w)}
	addresses := func(value func(*AddressStats) (uint64, bool)) {
		for i := range s.Addresses {
			a := &s.Addresses[i]
			if v, ok := value(a); ok {
				p.sample(float64(v), a.labels()...)
			}
		}
	}
	p.family("svcctl_affinity_clients", "gauge", "Clients that are remembered for session affinity, by service address.")
	addresses(func(a *AddressStats) (uint64, bool) { return uint64(a.Clients), true })
	p.family("svcctl_applied_states_total", "counter", "States that were applied and recorded.")
	p.sample(float64(s.State))
	p.family("svcctl_counting", "gauge", "Whether the tables count connections (counters: true).")
	p.sample(truth(s.Counters))
	p.family("svcctl_drifted", "gauge", "Whether the kernel has something else than what was applied.")
	p.sample(truth(s.Drifted))
	if s.Counters {
		p.family("svcctl_endpoint_connections_total", "counter", "Connections that left for an endpoint of a service address.")
		for i := range s.Addresses {
			a := &s.Addresses[i]
			for _, e := range a.Endpoints {
				p.sample(float64(e.Connections), slices.Insert(a.labels(), 1, promLabel{"endpoint", e.Address.String()})...)
			}
		}
	}
	if s.State != 0 {
		p.family("svcctl_last_applied_timestamp_seconds", "gauge", "When the state that is applied was recorded, in Unix time.")
		p.sample(float64(s.Applied.UnixMilli()) / 1000)
	}
	if s.Counters {
		p.family("svcctl_service_connections_total", "counter",
			"Connections to a service address that left for an endpoint, also for those that are gone.")
		addresses(func(a *AddressStats) (uint64, bool) { return a.Connections, true })
		p.family("svcctl_service_dropped_packets_total", "counter",
			"Packets to a service address that were dropped because the Local traffic policy leaves it no endpoint.")
		addresses(func(a *AddressStats) (uint64, bool) { return a.Dropped, true })
		p.family("svcctl_service_refused_packets_total", "counter",
			"Packets to a service address that were refused because it has no endpoint.")
		addresses(func(a *AddressStats) (uint64, bool) { return a.Refused, true })
		p.family("svcctl_unserved_packets_total", "counter", "Packets that were refused or dropped by rules for all services.")
		for _, u := range s.Unserved {
			for _, r := range [...]struct {
				reason string
				n      uint64
			}{{"source-range", u.SourceRanges}, {"unallocated-address", u.Unallocated}, {"unused-port", u.UnusedPorts}} {
				p.sample(float64(r.n), promLabel{"family", u.Family.String()}, promLabel{"reason", r.reason})
			}
		}
	}
	return p.close()
}

// labels are those of an address, sorted. Together address and protocol are unique.
func (a *AddressStats) labels() []promLabel {
	return []promLabel{
		{"address", a.Address.String()},
		{"namespace", a.Namespace},
		{"port", a.Port},
		{"protocol", a.Proto.String()},
		{"service", a.Service},
	}
}

type promLabel struct{ name, value string }

// prometheus writes families: HELP and TYPE, with the first sample of each.
type prometheus struct {
	*writer
	name, head string
}

func (p *prometheus) family(name, typ, help string) {
	p.name = name
	p.head = "# HELP " + name + " " + help + "\n# TYPE " + name + " " + typ + "\n"
}

func (p *prometheus) sample(value float64, labels ...promLabel) {
	p.str(p.head, p.name)
	p.head = ""
	for i, l := range labels {
		if i == 0 {
			p.str("{")
		} else {
			p.str(",")
		}
		p.str(l.name, `="`, labelValue(l.value), `"`)
		if i == len(labels)-1 {
			p.str("}")
		}
	}
	p.str(" ", strconv.FormatFloat(value, 'f', -1, 64), "\n")
}

// labelValue escapes a label's value: the format knows three escapes, and all other characters stand for themselves. It has
// to be UTF-8.
func labelValue(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return labelEscapes.Replace(s)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
