package behaviour

import "github.com/svcctl/svcctl/compiler/graph"

// Names are the Service ports that service addresses belong to.
type Names map[Key]*graph.Owner

// NamesOf gathers the names that rulesets know; those of the first one count. A ruleset that was read from the kernel knows
// none.
func NamesOf(rulesets ...*graph.Ruleset) Names {
	names := Names{}
	for _, rs := range rulesets {
		for _, t := range rs.Tables {
			for _, name := range [...]string{graph.ServicesMap, graph.NoEndpointsMap} {
				if s := t.Set(name); s != nil {
					names.learn(s)
				}
			}
		}
	}
	return names
}

func (n Names) learn(s *graph.Set) {
	for e := range s.Elements.All() {
		if k := keyOf(e.Key); e.Owner != nil && n[k] == nil {
			n[k] = e.Owner
		}
	}
}

func keyOf(k graph.Key) Key { return Key{k.Addr, k.Proto, k.Port} }
