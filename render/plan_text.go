package render

import (
	"cmp"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/plan"
)

// PlanOptions say how a plan is shown.
type PlanOptions struct {
	Color bool // ANSI colours
	// Observed, where given, is the ruleset the plan starts from: chains with new rules show their old ones.
	Observed *graph.Ruleset
	// Desired, where given, is the ruleset the plan leads to: it names the services of elements that the plan only
	// deletes.
	Desired *graph.Ruleset
}

// PlanText writes a plan for a reviewer: per table what each service gains (+), loses (-) and changes (~), then what
// belongs to no service, then sets and chains as nft has them, and a last line with the sums. An empty plan gives no
// text at all.
func PlanText(w io.Writer, p *plan.Plan, opts PlanOptions) error {
	if p.Empty() {
		return nil
	}
	out := newWriter(w)
	d := planText{out: out, opts: opts, owners: newOwners(p, opts.Desired)}
	for i := range p.Tables {
		d.table(&p.Tables[i])
	}
	out.str(d.sums.text(), "\n")
	return out.close()
}

type planText struct {
	out    *writer
	opts   PlanOptions
	owners owners
	sums   planSums
}

// planGroup collects the lines of one service, one unowned service address, or one set.
type planGroup struct {
	title string
	lines []planLine
}

type planLine struct {
	sign byte
	text string
}

func (d *planText) table(t *plan.TableChange) {
	d.heading("table " + t.Family.String() + " " + t.Name + ": " + t.Op.String())
	for _, g := range d.groups(t) {
		d.group(g)
	}
	d.sets(t)
	d.chains(t)
}

// groups sorts the element changes of a table by whose they are.
func (d *planText) groups(t *plan.TableChange) []*planGroup {
	owned := map[string]*planGroup{}
	addresses := map[serviceKey]*planGroup{}
	var sets []*planGroup
	for i := range t.Elements {
		changes := elementChanges(&t.Elements[i])
		var rest *planGroup
		for _, e := range changes {
			d.sums.element(e)
		}
		if slices.Contains(t.Elements[i].Set.Key, graph.SlotField) {
			d.endpoints(t, changes, owned, addresses)
			continue
		}
		for _, e := range changes {
			if owner := d.owners.of(e.set, e.element()); owner != nil {
				name := ownerText(owner)
				addLines(owned, name, "service "+name, planLine{e.sign(), serviceLine(e)})
			} else if key, ok := serviceOf(e.set, &e.element().Key); ok {
				addLines(addresses, key, "service address "+key.String(), planLine{e.sign(), serviceLine(e)})
			} else {
				if rest == nil {
					rest = &planGroup{title: setWord(e.set) + " " + e.set.Name}
					sets = append(sets, rest)
				}
				rest.lines = append(rest.lines, planLine{e.sign(), string(appendElement(nil, e.set, e.element()))})
			}
		}
	}
	out := make([]*planGroup, 0, len(owned)+len(addresses)+len(sets))
	for _, name := range slices.Sorted(maps.Keys(owned)) {
		out = append(out, owned[name])
	}
	for _, key := range slices.SortedFunc(maps.Keys(addresses), serviceKey.compare) {
		out = append(out, addresses[key])
	}
	return append(out, sets...)
}

// endpoints adds the lines about the changes to the slots of a table, an address at a time.
func (d *planText) endpoints(
	t *plan.TableChange, changes []elementChange, owned map[string]*planGroup, addresses map[serviceKey]*planGroup,
) {
	for len(changes) > 0 {
		key, _ := serviceOf(changes[0].set, &changes[0].element().Key)
		n := 1
		for n < len(changes) {
			if next, _ := serviceOf(changes[n].set, &changes[n].element().Key); next != key {
				break
			}
			n++
		}
		c := slotChanges{service: key, changes: changes[:n]}
		lines := c.lines(tableOf(d.opts.Observed, t.Family), tableOf(d.opts.Desired, t.Family))
		if owner := d.owners.of(changes[0].set, changes[0].element()); owner != nil {
			name := ownerText(owner)
			addLines(owned, name, "service "+name, lines...)
		} else {
			addLines(addresses, key, "service address "+key.String(), lines...)
		}
		changes = changes[n:]
	}
}

func tableOf(rs *graph.Ruleset, f graph.Family) *graph.Table {
	if rs == nil {
		return nil
	}
	return rs.Table(f)
}

func addLines[K comparable](groups map[K]*planGroup, key K, title string, lines ...planLine) {
	g := groups[key]
	if g == nil {
		g = &planGroup{title: plainLine(title)}
		groups[key] = g
	}
	g.lines = append(g.lines, lines...)
}

// serviceLine describes a change to an element of a service.
func serviceLine(e elementChange) string {
	el := e.element()
	service, ok := serviceOf(e.set, &el.Key)
	if !ok {
		return e.set.Name + " " + string(appendElement(nil, e.set, el))
	}
	before, after := e.data()
	if e.set.Name == graph.ServicesMap && e.sign() != '~' {
		return "address " + service.String() + "  (" + cmp.Or(before, after) + ")"
	}
	text := service.String() + " " + e.set.Name
	if peer := peerText(e.set, &el.Key); peer != "" {
		text += " " + peer
	}
	switch {
	case before != "" && after != "":
		text += ": " + before + " -> " + after
	case before+after != "":
		text += ": " + before + after
	}
	return text
}

// peerText gives the address of a key that is not the service's: a client, or the sources that are let through.
func peerText(s *graph.Set, k *graph.Key) string {
	if !k.Peer.IsValid() {
		return ""
	}
	if service, _ := serviceOf(s, k); service.Addr == k.Peer && s.Dynamic {
		return k.Addr.String()
	}
	if k.PeerPort != 0 {
		return netip.AddrPortFrom(k.Peer, k.PeerPort).String()
	}
	return string(appendRange(nil, k.Peer, k.RangeTo))
}

func endpointText(data graph.Data) string {
	return netip.AddrPortFrom(data.Addr, data.Port).String()
}

func (d *planText) group(g *planGroup) {
	d.heading("  " + g.title)
	for _, l := range g.lines {
		d.line("    ", l.sign, l.text)
	}
}

// sets shows declarations: elements are shown with their owners.
func (d *planText) sets(t *plan.TableChange) {
	for _, s := range t.AddSets {
		d.line("  ", '+', setWord(s)+" "+s.Name+" { "+strings.Join(setLines(t.Family, s), "; ")+" }")
	}
	for _, s := range t.GrowSets {
		d.line("  ", '~', setWord(s)+" "+s.Name+": size "+strconv.FormatUint(uint64(s.Size), 10))
	}
	for _, s := range t.DelSets {
		d.line("  ", '-', setWord(s)+" "+s.Name)
	}
	for i := range t.Keep {
		k := &t.Keep[i]
		d.line("  ", '~', setWord(k.Set)+" "+k.Set.Name+": keeps "+count(k.Elements.Len(), "element")+" of the packet path's own")
	}
	d.sums.sets += len(t.AddSets) + len(t.GrowSets) + len(t.DelSets)
}

func (d *planText) chains(t *plan.TableChange) {
	rules := make(map[string]*graph.Chain, len(t.SetRules))
	for _, c := range t.SetRules {
		rules[c.Name] = c
	}
	added := make(map[string]bool, len(t.AddChains))
	for _, c := range t.AddChains {
		added[c.Name] = true
		d.sums.chain(c)
		if c.CarriesDigest() {
			continue
		}
		d.line("  ", '+', chainTitle(c))
		d.rules(t.Family, rules[c.Name], '+')
	}
	for _, c := range t.RemakeChains {
		added[c.Name] = true
		d.sums.chain(c)
		d.remade(t.Family, d.observed(t, c.Name), c)
	}
	for _, c := range t.SetRules {
		if added[c.Name] {
			continue
		}
		d.sums.chain(c)
		d.line("  ", '~', chainTitle(c))
		d.rules(t.Family, d.observed(t, c.Name), '-')
		d.rules(t.Family, c, '+')
	}
	for _, c := range t.DelChains {
		d.sums.chain(c)
		if c.CarriesDigest() {
			continue
		}
		d.line("  ", '-', chainTitle(c))
		d.rules(t.Family, c, '-')
	}
}

// remade shows a base chain that gets another hook, and its rules where they change, too.
func (d *planText) remade(f graph.Family, was, c *graph.Chain) {
	if was != nil {
		d.line("  ", '-', chainTitle(was))
	}
	d.line("  ", '+', chainTitle(c))
	if was != nil && plan.SameRules(was.Rules, c.Rules) {
		return
	}
	d.rules(f, was, '-')
	d.rules(f, c, '+')
}

func chainTitle(c *graph.Chain) string {
	title := "chain " + c.Name
	if c.Hook != nil {
		title += " { " + hookText(c.Hook) + " }"
	}
	return title
}

// observed gives the chain as it is now, or nil where that is not known.
func (d *planText) observed(t *plan.TableChange, chain string) *graph.Chain {
	table := tableOf(d.opts.Observed, t.Family)
	if table == nil {
		return nil
	}
	return table.Chain(chain)
}

func (d *planText) rules(f graph.Family, c *graph.Chain, sign byte) {
	if c == nil {
		return
	}
	for _, text := range ruleRuns(f, c.Rules) {
		d.line("    ", sign, text)
	}
}

// The ANSI sequences of colours (ECMA-48, Select Graphic Rendition).
const (
	colorBold  = "\x1b[1m"
	colorReset = "\x1b[0m"
)

var signColors = map[byte]string{'+': "\x1b[32m", '-': "\x1b[31m", '~': "\x1b[33m"}

func (d *planText) heading(text string) {
	if d.opts.Color {
		text = colorBold + text + colorReset
	}
	d.out.str(text, "\n")
}

func (d *planText) line(indent string, sign byte, text string) {
	if d.opts.Color {
		d.out.str(indent, signColors[sign], string(sign), " ", text, colorReset, "\n")
		return
	}
	d.out.str(indent, string(sign), " ", text, "\n")
}
