package render

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// Difference is one way in which the kernel is not what was applied to it.
type Difference struct {
	Object string `json:"object"`           // "table ip svcctl", "ip svcctl map services", "ip svcctl chain dispatch"
	Key    string `json:"key,omitempty"`    // of an element
	Fault  string `json:"fault"`            // missing, added, changed, or foreign for what svcctl never makes
	Wanted string `json:"wanted,omitempty"` // what should be there
	Found  string `json:"found,omitempty"`  // what is there
}

// The faults.
const (
	faultMissing = "missing"
	faultAdded   = "added"
	faultChanged = "changed"
	faultForeign = "foreign"
)

// Differences says in which ways the observed ruleset is not the desired one, given the plan that would make it so, and
// what else is in the tables. They come in the order of the plan: by table, sets before elements before chains.
func Differences(p *plan.Plan, observed *graph.Ruleset, foreign []string) []Difference {
	out := []Difference{}
	for i := range p.Tables {
		t := &p.Tables[i]
		d := differences{prefix: t.Family.String() + " " + t.Name + " ", family: t.Family, observed: observed.Table(t.Family)}
		switch t.Op {
		case plan.Create:
			d.add("table "+t.Family.String()+" "+t.Name, faultMissing)
		case plan.Delete:
			d.add("table "+t.Family.String()+" "+t.Name, faultAdded)
		case plan.Replace:
			d.add("table "+t.Family.String()+" "+t.Name, faultChanged)
		case plan.Update:
			d.sets(t)
			d.elements(t)
			d.chains(t)
		}
		out = append(out, d.out...)
	}
	for _, what := range foreign {
		out = append(out, Difference{Object: what, Fault: faultForeign})
	}
	return out
}

type differences struct {
	prefix   string
	family   graph.Family
	observed *graph.Table
	out      []Difference
}

func (d *differences) add(object, fault string) {
	d.out = append(d.out, Difference{Object: object, Fault: fault})
}

func (d *differences) set(s *graph.Set) string { return d.prefix + setWord(s) + " " + s.Name }

func (d *differences) sets(t *plan.TableChange) {
	for _, s := range t.AddSets {
		d.add(d.set(s), faultMissing)
	}
	for _, s := range t.DelSets {
		d.add(d.set(s), faultAdded)
	}
	for _, s := range t.GrowSets {
		d.out = append(d.out, Difference{
			Object: d.set(s), Fault: faultChanged,
			Wanted: "size " + strconv.FormatUint(uint64(s.Size), 10),
			Found:  "size " + strconv.FormatUint(uint64(d.observed.Set(s.Name).Size), 10),
		})
	}
}

func (d *differences) elements(t *plan.TableChange) {
	for i := range t.Elements {
		for _, e := range elementChanges(&t.Elements[i]) {
			found, wanted := e.data()
			fault := map[byte]string{'+': faultMissing, '-': faultAdded, '~': faultChanged}[e.sign()]
			d.out = append(d.out, Difference{
				Object: d.set(e.set), Key: string(appendKey(nil, e.set, &e.element().Key)), Fault: fault,
				Wanted: wanted, Found: found,
			})
		}
	}
}

func (d *differences) chains(t *plan.TableChange) {
	added := map[string]bool{}
	for _, c := range t.AddChains {
		added[c.Name] = true
		d.add(d.prefix+"chain "+c.Name, faultMissing)
	}
	for _, c := range t.SetRules {
		if !added[c.Name] {
			d.rules(c)
		}
	}
	for _, c := range t.DelChains {
		d.add(d.prefix+"chain "+c.Name, faultAdded)
	}
}

// rules names the first rule in which two chains differ: beyond it all may be moved.
func (d *differences) rules(want *graph.Chain) {
	was := d.observed.Chain(want.Name)
	texts := func(c *graph.Chain) []string {
		var out []string
		for _, r := range c.Rules {
			out = append(out, ruleText(d.family, r))
		}
		return out
	}
	found, wanted := texts(was), texts(want)
	n := 0
	for n < min(len(found), len(wanted)) && plan.SameRules(was.Rules[n:n+1], want.Rules[n:n+1]) {
		n++
	}
	x := Difference{Object: d.prefix + "chain " + want.Name + " rule " + strconv.Itoa(n+1), Fault: faultChanged}
	switch {
	case n == len(found):
		x.Fault, x.Wanted = faultMissing, wanted[n]
	case n == len(wanted):
		x.Fault, x.Found = faultAdded, found[n]
	default:
		x.Wanted, x.Found = wanted[n], found[n]
	}
	if x.Found == "" && x.Fault != faultMissing {
		x.Found = "a rule that svcctl does not write"
	}
	d.out = append(d.out, x)
}

// VerifyText writes differences for people, a line each.
func VerifyText(w io.Writer, differences []Difference) error {
	out := newWriter(w)
	for _, d := range differences {
		out.str(d.String(), "\n")
	}
	return out.close()
}

// String gives "ip svcctl map services: element 10.96.0.1 . tcp . 80 is missing (wanted goto random-4)".
func (d Difference) String() string {
	if d.Fault == faultForeign {
		return plainLine(d.Object)
	}
	text := d.Object
	if d.Key != "" {
		text += " element " + d.Key
	}
	text += map[string]string{
		faultMissing: " is missing", faultAdded: " should not be there", faultChanged: " is not what was applied",
	}[d.Fault]
	values := slices.DeleteFunc([]string{label("found ", d.Found), label("wanted ", d.Wanted)}, func(s string) bool { return s == "" })
	switch len(values) {
	case 1:
		text += " (" + values[0] + ")"
	case 2:
		text += " (" + values[0] + ", " + values[1] + ")"
	}
	return plainLine(text)
}

func label(word, value string) string {
	if value == "" {
		return ""
	}
	return word + value
}

// VerifyJSON writes differences for machines. repaired says that they are gone now.
func VerifyJSON(w io.Writer, differences []Difference, repaired bool) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "    ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Drifted     bool         `json:"drifted"`
		Repaired    bool         `json:"repaired"`
		Differences []Difference `json:"differences"`
	}{len(differences) > 0, repaired, differences})
}
