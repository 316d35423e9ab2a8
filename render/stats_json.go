package render

import (
	"encoding/json"
	"io"
	"net/netip"
	"time"
)

// statsDoc is the JSON form of Stats. What is not counted is left out.
type statsDoc struct {
	Table     string          `json:"table"`
	Netns     string          `json:"netns,omitempty"`
	Time      time.Time       `json:"time"`
	Counters  bool            `json:"counters"`
	Applied   *statsApplied   `json:"applied"` // null: nothing is recorded
	Drifted   bool            `json:"drifted"`
	Addresses []addressDoc    `json:"addresses"`
	Unserved  []unservedStats `json:"unserved,omitempty"`
}

type statsApplied struct {
	State uint64    `json:"state"`
	Time  time.Time `json:"time"`
}

type addressDoc struct {
	Namespace   string        `json:"namespace,omitempty"`
	Service     string        `json:"service,omitempty"`
	Port        string        `json:"port,omitempty"`
	Kind        string        `json:"kind,omitempty"`
	Address     netip.Addr    `json:"address"`
	Number      uint16        `json:"portNumber"`
	Protocol    string        `json:"protocol"`
	Connections *uint64       `json:"connections,omitempty"`
	Refused     *uint64       `json:"refusedPackets,omitempty"`
	Dropped     *uint64       `json:"droppedPackets,omitempty"`
	Clients     int           `json:"clients"`
	Endpoints   []endpointDoc `json:"endpoints,omitempty"`
}

type endpointDoc struct {
	Address     netip.Addr `json:"address"`
	Number      uint16     `json:"portNumber"`
	Connections uint64     `json:"connections"`
}

type unservedStats struct {
	Family       string `json:"family"`
	UnusedPorts  uint64 `json:"unusedPortPackets"`
	Unallocated  uint64 `json:"unallocatedAddressPackets"`
	SourceRanges uint64 `json:"sourceRangePackets"`
}

// StatsJSON writes a JSON document of the statistics. The error is that of the writer.
func StatsJSON(w io.Writer, s *Stats) error {
	doc := statsDoc{
		Table: s.Table, Netns: s.Netns, Time: s.Time, Counters: s.Counters, Drifted: s.Drifted, Addresses: []addressDoc{},
	}
	if s.State != 0 {
		doc.Applied = &statsApplied{s.State, s.Applied}
	}
	for i := range s.Addresses {
		a := &s.Addresses[i]
		d := addressDoc{
			Namespace: a.Namespace, Service: a.Service, Port: a.Port, Kind: a.Kind, Address: a.Address.Addr(),
			Number: a.Address.Port(), Protocol: a.Proto.String(), Clients: a.Clients,
		}
		if s.Counters {
			d.Connections, d.Refused, d.Dropped = &a.Connections, &a.Refused, &a.Dropped
			for _, e := range a.Endpoints {
				d.Endpoints = append(d.Endpoints, endpointDoc{e.Address.Addr(), e.Address.Port(), e.Connections})
			}
		}
		doc.Addresses = append(doc.Addresses, d)
	}
	if s.Counters {
		for _, u := range s.Unserved {
			doc.Unserved = append(doc.Unserved,
				unservedStats{u.Family.String(), u.UnusedPorts, u.Unallocated, u.SourceRanges})
		}
	}
	text, err := json.MarshalIndent(doc, "", "    ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
