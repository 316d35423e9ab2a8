package render

import (
	"encoding/json"
	"io"
	"slices"

	"github.com/svcctl/svcctl/compiler/behaviour"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// The document PlanJSON writes. Members that do not apply are left out.
type (
	planDocument struct {
		Behaviour *behaviourDocument `json:"behaviour,omitempty"`
		Tables    []planTable        `json:"tables"`
		Summary   planSummary        `json:"summary"`
		FlowsCut  *int               `json:"flowsCut,omitempty"`
	}
	planTable struct {
		Op       string        `json:"op"` // create, update, replace, delete
		Family   string        `json:"family"`
		Name     string        `json:"name"`
		Sets     []planSet     `json:"sets,omitempty"`
		Elements []planElement `json:"elements,omitempty"`
		Chains   []planChain   `json:"chains,omitempty"`
	}
	planSet struct {
		Op          string   `json:"op"`   // add, grow, keep, delete
		Kind        string   `json:"kind"` // set, map
		Name        string   `json:"name"`
		Declaration []string `json:"declaration"`
		Kept        int      `json:"kept,omitempty"` // elements of the packet path's own that a table made again keeps
	}
	planElement struct {
		Op    string     `json:"op"` // add, change, delete
		Set   string     `json:"set"`
		Key   string     `json:"key"`
		Old   string     `json:"old,omitempty"`
		New   string     `json:"new,omitempty"`
		Owner *planOwner `json:"owner,omitempty"`
		Pos   string     `json:"pos,omitempty"` // file:line:column of what is behind the element
	}
	planOwner struct {
		Service string `json:"service"` // namespace/name
		Port    string `json:"port,omitempty"`
		Pos     string `json:"pos,omitempty"` // file:line:column of the Service port
	}
	planChain struct {
		Op    string   `json:"op"` // add, change, delete
		Name  string   `json:"name"`
		Hook  string   `json:"hook,omitempty"`
		Rules []string `json:"rules"` // as they will be, or as they were where the chain goes
	}
	planSummary struct {
		ElementsAdded   int `json:"elementsAdded"`
		ElementsChanged int `json:"elementsChanged"`
		ElementsDeleted int `json:"elementsDeleted"`
		Sets            int `json:"sets"`
		Chains          int `json:"chains"`
	}
)

// PlanJSON writes a plan for machines: what it does to connections, where that is given; every object that changes with its
// old and new values in nft's words, and the Service port and the place in the manifests behind it. An empty plan has an
// empty list of tables. flowsCut is how many flows carrying out the plan cuts; nil: not known.
func PlanJSON(w io.Writer, p *plan.Plan, d *behaviour.Diff, flowsCut *int) error {
	known := newOwners(p, nil)
	doc := planDocument{Tables: []planTable{}, FlowsCut: flowsCut}
	if d != nil {
		b := behaviourJSON(d)
		doc.Behaviour = &b
	}
	var sums planSums
	for i := range p.Tables {
		t := &p.Tables[i]
		doc.Tables = append(doc.Tables, planTable{
			Op: t.Op.String(), Family: t.Family.String(), Name: t.Name,
			Sets: planSets(t, &sums), Elements: planElements(t, known, &sums), Chains: planChains(t, &sums),
		})
	}
	doc.Summary = planSummary{sums.added, sums.changed, sums.deleted, sums.sets, sums.chains}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

func planSets(t *plan.TableChange, sums *planSums) []planSet {
	var out []planSet
	add := func(op string, sets []*graph.Set) {
		for _, s := range sets {
			out = append(out, planSet{Op: op, Kind: setWord(s), Name: s.Name, Declaration: setLines(t.Family, s)})
		}
	}
	add("add", t.AddSets)
	add("grow", t.GrowSets)
	add("delete", t.DelSets)
	sums.sets += len(out)
	for i := range t.Keep {
		add("keep", []*graph.Set{t.Keep[i].Set})
		out[len(out)-1].Kept = t.Keep[i].Elements.Len()
	}
	return out
}

func planElements(t *plan.TableChange, known owners, sums *planSums) []planElement {
	var out []planElement
	for i := range t.Elements {
		for _, e := range elementChanges(&t.Elements[i]) {
			sums.element(e)
			el := e.element()
			before, after := e.data()
			out = append(out, planElement{
				Op: e.op(), Set: e.set.Name, Key: string(appendKey(nil, e.set, &el.Key)),
				Old: before, New: after, Owner: ownerJSON(known.of(e.set, el)), Pos: el.Pos.String(),
			})
		}
	}
	return out
}

func ownerJSON(o *graph.Owner) *planOwner {
	if o == nil {
		return nil
	}
	return &planOwner{Service: o.Service.Namespace + "/" + o.Service.Name, Port: o.Port, Pos: o.Pos.String()}
}

func planChains(t *plan.TableChange, sums *planSums) []planChain {
	var out []planChain
	at := make(map[string]int, len(t.AddChains))
	add := func(op string, c *graph.Chain) {
		i, ok := at[c.Name]
		if !ok {
			i = len(out)
			at[c.Name] = i
			pc := planChain{Op: op, Name: c.Name, Rules: []string{}}
			if c.Hook != nil {
				pc.Hook = hookText(c.Hook)
			}
			out = append(out, pc)
			sums.chain(c)
		}
		out[i].Rules = out[i].Rules[:0]
		for _, r := range c.Rules {
			out[i].Rules = append(out[i].Rules, ruleText(t.Family, r))
		}
	}
	for _, c := range t.AddChains {
		add("add", c)
	}
	for _, c := range slices.Concat(t.RemakeChains, t.SetRules) {
		add("change", c)
	}
	for _, c := range t.DelChains {
		add("delete", c)
	}
	return out
}
