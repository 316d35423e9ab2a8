package render

import (
	"io"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// EndpointsTable writes Endpoints as kubectl get endpoints does: NAME, ENDPOINTS, AGE.
func EndpointsTable(w io.Writer, endpoints []*corev1.Endpoints, opts TableOptions) error {
	t := table{columns: columns(opts, "ENDPOINTS", "AGE")}
	for _, e := range endpoints {
		m := meta{"endpoints", e.Namespace, e.Name, e.Labels}
		t.rows = append(t.rows, m.row(opts, endpointsText(e.Subsets), ageText(e.CreationTimestamp.Time, opts.Now)))
	}
	return t.write(w, opts)
}

// endpointsText lists the ready addresses of each port in turn. With only addresses that are not ready it is empty, and
// "<none>" without any.
func endpointsText(subsets []corev1.EndpointSubset) string {
	if len(subsets) == 0 {
		return none
	}
	var items []string
	for i := range subsets {
		ss := &subsets[i]
		if len(ss.Ports) == 0 { // headless Services may have no ports
			for _, a := range ss.Addresses {
				items = append(items, a.IP)
			}
		}
		for _, p := range ss.Ports {
			for _, a := range ss.Addresses {
				items = append(items, joinHostPort(a.IP, p.Port))
			}
		}
	}
	return clipped(items)
}

// EndpointSliceTable writes EndpointSlices as kubectl get endpointslices does: NAME, ADDRESSTYPE, PORTS, ENDPOINTS, AGE.
// The endpoints are all of them, ready or not.
func EndpointSliceTable(w io.Writer, slices []*discoveryv1.EndpointSlice, opts TableOptions) error {
	t := table{columns: columns(opts, "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE")}
	for _, s := range slices {
		m := meta{"endpointslice.discovery.k8s.io", s.Namespace, s.Name, s.Labels}
		t.rows = append(t.rows, m.row(opts, string(s.AddressType), slicePortsText(s.Ports),
			sliceEndpointsText(s.Endpoints), ageText(s.CreationTimestamp.Time, opts.Now)))
	}
	return t.write(w, opts)
}

func slicePortsText(ports []discoveryv1.EndpointPort) string {
	if len(ports) == 0 {
		return unset
	}
	items := make([]string, len(ports))
	for i, p := range ports {
		switch {
		case p.Port != nil:
			items[i] = itoa(*p.Port)
		case p.Name != nil && *p.Name != "":
			items[i] = *p.Name
		default:
			items[i] = "*"
		}
	}
	return clipped(items)
}

func sliceEndpointsText(endpoints []discoveryv1.Endpoint) string {
	var items []string
	for _, e := range endpoints {
		items = append(items, e.Addresses...)
	}
	if len(items) == 0 {
		return unset
	}
	return clipped(items)
}
