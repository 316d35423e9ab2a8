package compiler

import "github.com/svcctl/svcctl/compiler/graph"

// addTables makes the tables and declares every set and map of the program. They are all there whether or not anything
// uses them: a program that never changes shape is a program whose rules never have to be replaced. Only those that count
// are there where something is to be counted.
func addTables(st *state) {
	var (
		address       = []graph.Field{graph.AddrField}
		service       = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField}
		slot          = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.SlotField}
		client        = []graph.Field{graph.AddrField, graph.AddrField, graph.ProtoField, graph.PortField}
		pair          = []graph.Field{graph.AddrField, graph.AddrField}
		serviceSource = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.AddrField}
		endpoint      = []graph.Field{graph.AddrField, graph.PortField}
		connection    = []graph.Field{graph.AddrField, graph.ProtoField, graph.PortField, graph.AddrField, graph.PortField}
		verdict       = []graph.Field{graph.VerdictField}
	)
	for _, fs := range st.families {
		fs.table = &graph.Table{
			Family: fs.family, Name: st.cfg.Table, Comment: TableComment,
			Sets: []*graph.Set{
				{Name: setClusterCIDRs, Key: address, Interval: true},
				{Name: setServiceCIDRs, Key: address, Interval: true},
				{Name: graph.NodePortAddressesSet, Key: address, Interval: true},
				{Name: graph.ServicesMap, Key: service, Data: verdict},
				{Name: graph.EndpointsMap, Key: slot, Data: endpoint},
				{
					Name: graph.AffinityMap, Key: client, Data: endpoint, Dynamic: true, Timeout: true,
					// A dynamic map without a size stops at 65,535 elements without a word.
					Size: st.cfg.AffinityMapSize,
				},
				{Name: mapAffinityTimeouts, Key: service, Data: verdict},
				{Name: mapMasqueradeServices, Key: service, Data: verdict},
				{Name: setHairpin, Key: pair},
				{Name: graph.NoEndpointsMap, Key: service, Data: verdict, Counter: st.cfg.Counters},
				{Name: setRestrictedServices, Key: service},
				{Name: setSourceRanges, Key: serviceSource, Interval: true},
				{Name: setClusterIPs, Key: address},
			},
		}
		if st.cfg.Counters {
			fs.table.Sets = append(fs.table.Sets,
				&graph.Set{Name: graph.ServiceConnectionsSet, Key: service, Counter: true},
				&graph.Set{Name: graph.EndpointConnectionsSet, Key: connection, Counter: true})
		}
		for _, s := range fs.table.Sets {
			s.Pass = st.pass
		}
		st.rs.Tables = append(st.rs.Tables, fs.table)
	}
}
