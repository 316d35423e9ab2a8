package graph

// The names that more than one phase knows: the compiler fills these maps, and plan has to see that nobody is remembered
// at an endpoint that is gone.
const (
	ServicesMap  = "services"  // service address → shape
	EndpointsMap = "endpoints" // service address and slot → endpoint
	AffinityMap  = "affinity"  // client and service address → endpoint; written by the packet path
)
