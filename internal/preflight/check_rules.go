package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svcctl/svcctl/compiler/foreign"
	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/resolve"
)

// Priorities of what others' chains come before or after (include/uapi/linux/netfilter_ipv4.h).
const (
	priorityConntrack = -200
	priorityDNAT      = -100
)

// maxLinks is how many interfaces are tried as the one by which a packet comes.
const maxLinks = 32

// comesBy gives the interfaces by which packets can come from others, those with a default route first.
func (j *judge) comesBy(f graph.Family) []string {
	var out []string
	defaults := j.facts.Routing[f].Value.Defaults
	for _, l := range j.facts.Links.Value {
		if l.Up && !l.Loopback && !l.Part {
			out = append(out, l.Name)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		switch da, db := slices.Contains(defaults, a), slices.Contains(defaults, b); {
		case da == db:
			return strings.Compare(a, b)
		case da:
			return -1
		default:
			return 1
		}
	})
	return out[:min(len(out), maxLinks)]
}

// baseChains gives the base chains of others that a packet of a family meets at a hook, of the given types.
func (j *judge) baseChains(f graph.Family, hook foreign.Hook, fn func(*foreign.Table, *foreign.Chain), types ...string) {
	if !j.facts.Others.Known {
		return
	}
	for _, t := range j.facts.Others.Value.Tables {
		if !t.Family.Sees(f.Unspecified()) {
			continue
		}
		for _, c := range t.Chains {
			if c.Base != nil && c.Base.Hook == hook && slices.Contains(types, c.Base.Type) {
				fn(t, c)
			}
		}
	}
}

// decides reports whether a table has a rule, or a policy, of some verdicts.
func decides(t *foreign.Table, ops ...foreign.Op) bool {
	for _, c := range t.Chains {
		if c.Base != nil && c.Base.Drop && slices.Contains(ops, foreign.Drop) {
			return true
		}
		for _, r := range c.Rules {
			for _, term := range r.Terms {
				switch term := term.(type) {
				case foreign.Verdict:
					if slices.Contains(ops, term.Op) {
						return true
					}
				case foreign.VerdictMap:
					for _, e := range term.Entries {
						if slices.Contains(ops, e.Verdict.Op) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

func tableName(t *foreign.Table) string { return t.Family.String() + " " + t.Name }

// whose says which program a table is of, where its name tells.
func whose(t *foreign.Table) string {
	switch {
	case t.Name == "kube-proxy", t.Chain("KUBE-SERVICES") != nil:
		return "kube-proxy"
	case t.Name == "firewalld":
		return "firewalld"
	case t.Chain("DOCKER") != nil, strings.HasPrefix(t.Name, "docker"):
		return "docker"
	case t.Chain("PREROUTING") != nil || t.Chain("FORWARD") != nil:
		return "iptables"
	default:
		return ""
	}
}

func described(t *foreign.Table) string {
	if w := whose(t); w != "" {
		return fmt.Sprintf("table %s (%s)", tableName(t), w)
	}
	return "table " + tableName(t)
}

func (j *judge) owners() {
	others := j.facts.Others
	if !others.Known {
		if others.Why != "" {
			j.unknown(OtherOwner, "tables", others.Why, "run svcctl check as root")
		}
		return
	}
	found := len(j.found)
	for _, t := range others.Value.Tables {
		if t.Unread != "" {
			j.unknown(OtherOwner, tableName(t), "not read: "+t.Unread, "")
		}
		j.sameServices(t)
	}
	for _, f := range graph.Families {
		j.translations(f)
	}
	if j.ask.Given && len(j.found) == found {
		j.yes(OtherOwner, "tables", fmt.Sprintf("no rule of other programs gives a service address another destination (%s)",
			counted(len(others.Value.Tables), "table")))
	}
	switch l := j.facts.Legacy; {
	case l.Why != "":
		j.unknown(OtherOwner, "iptables-legacy", l.Why, "")
	case len(l.Value) > 0:
		j.unknown(OtherOwner, "iptables-legacy",
			"the older iptables has rules in "+list(l.Value)+", which nftables does not show and which are not judged",
			"look with iptables-legacy-save; iptables-nft has the same commands and is judged")
	}
}

// sameServices compares the service addresses that a map of others holds with those that are asked for.
func (j *judge) sameServices(t *foreign.Table) {
	if len(t.Services) == 0 {
		return
	}
	type key struct {
		addr  netip.Addr
		proto uint8
		port  uint16
	}
	ours := map[key]*resolve.ServicePort{}
	for _, sp := range j.ask.Ports {
		for i := range sp.Addresses {
			at := &sp.Addresses[i]
			ours[key{at.Addr, numberOf(protoOf(sp)), at.Port}] = sp
		}
	}
	by, maps := names{}, map[string]bool{}
	example := ""
	for _, s := range t.Services {
		if sp := ours[key{s.Addr, s.Proto, s.Port}]; sp != nil {
			by.add(sp)
			maps[s.Map] = true
			if example == "" {
				example = netip.AddrPortFrom(s.Addr, s.Port).String()
			}
		}
	}
	if len(by) == 0 {
		return
	}
	remedy := "take these Services from one of the two"
	if whose(t) == "kube-proxy" {
		remedy = "stop kube-proxy and remove its rules (kube-proxy --cleanup), or leave these Services to it"
	}
	j.add(Finding{
		Check: OtherOwner, Subject: tableName(t), Answer: No, Level: Problem, Services: by.sorted(),
		Message: fmt.Sprintf("%s serves the same addresses, %s among them (map %s): of two chains with the same priority the newer one decides",
			described(t), example, list(sortedKeys(maps))),
		Remedy: remedy,
	})
}

// translations looks for rules of others that give packets to service addresses another destination.
func (j *judge) translations(f graph.Family) {
	hosts := j.hostAddrs(f)
	type key struct{ table, by string }
	taken := map[key]names{}
	tables := map[key]*foreign.Table{}
	examples := map[key]string{}
	var order []key
	for _, hook := range [...]foreign.Hook{foreign.Prerouting, foreign.Output} {
		ins := j.comesBy(f)
		if hook == foreign.Output {
			ins = []string{""}
		}
		j.baseChains(f, hook, func(t *foreign.Table, c *foreign.Chain) {
			if !decides(t, foreign.Translate) {
				return
			}
			for _, sp := range j.ask.Ports {
				if familyOf(sp) != f {
					continue
				}
				for i := range sp.Addresses {
					at := &sp.Addresses[i]
					to := at.Addr
					if at.Kind == resolve.NodePort {
						if len(hosts) == 0 {
							continue
						}
						to = hosts[0]
					}
					p := &foreign.Packet{
						To: netip.AddrPortFrom(to, at.Port), Proto: numberOf(protoOf(sp)), Local: at.Kind == resolve.NodePort || j.own(to),
						Tracked: true, Received: hook == foreign.Prerouting,
					}
					for _, p.In = range ins {
						out := t.Walk(c, p)
						if out.Otherwise != foreign.Translate {
							continue
						}
						k := key{tableName(t), out.By}
						if taken[k] == nil {
							taken[k], tables[k] = names{}, t
							examples[k] = fmt.Sprintf("%s:%d/%s", bracketed(to), at.Port, protoOf(sp))
							order = append(order, k)
						}
						taken[k].add(sp)
						break
					}
				}
			}
		}, "nat")
	}
	for _, k := range order {
		t := tables[k]
		remedy := "take the rule away, or the Service"
		if whose(t) == "docker" {
			remedy = "publish the container's port under another number, or give the Service another one (docker ps shows them)"
		}
		j.add(Finding{
			Check: OtherOwner, Subject: k.table + " " + k.by, Answer: No, Level: Problem, Services: taken[k].sorted(),
			Message: fmt.Sprintf("%s of %s gives connections to %s another destination: of two chains with the same priority the newer one decides",
				k.by, described(t), examples[k]),
			Remedy: remedy,
		})
	}
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

func (j *judge) firewalls() {
	if !j.facts.Others.Known || !j.ask.Given {
		return
	}
	found := len(j.found)
	judged := map[*foreign.Chain]bool{}
	for _, f := range graph.Families {
		for _, hook := range [...]foreign.Hook{foreign.Prerouting, foreign.Input, foreign.Forward, foreign.Output, foreign.Postrouting} {
			j.baseChains(f, hook, func(t *foreign.Table, c *foreign.Chain) {
				judged[c] = true
				if decides(t, foreign.Drop, foreign.Reject, foreign.NoTrack) {
					j.firewall(f, t, c)
				}
			}, "filter", "route")
		}
	}
	if len(j.found) == found {
		j.yes(Firewall, "chains", fmt.Sprintf("no filter of other programs drops what goes to a Service (%s)",
			counted(len(judged), "base chain")))
	}
}

// firewall sends the packets of every Service through a chain of others.
func (j *judge) firewall(f graph.Family, t *foreign.Table, c *foreign.Chain) {
	ins := j.comesBy(f)
	type result struct {
		state Answer
		by    string
		track bool
	}
	type visit struct {
		to    netip.AddrPort
		proto graph.Proto
		in    string
	}
	memory := map[visit]result{}
	walk := func(p foreign.Packet, proto graph.Proto) result {
		v := visit{p.To, proto, p.In}
		if r, ok := memory[v]; ok {
			return r
		}
		out := t.Walk(c, &p)
		r := result{state: Yes, by: out.By}
		switch mostly, certainly := out.Drops(); {
		case certainly:
			r.state = No
		case mostly:
			r.state = CannotTell
		case out.Untracked && c.Base.Priority < priorityConntrack:
			r.state, r.track = No, true
		}
		memory[v] = r
		return r
	}
	type key struct {
		state Answer
		by    string
		from  string
		track bool
		all   bool
	}
	groups := map[key]names{}
	outside := map[key]bool{}
	var order []key
	note := func(sp *resolve.ServicePort, r result, from []string, of int) {
		k := key{r.state, r.by, list(from), r.track, len(from) == of}
		if groups[k] == nil {
			groups[k] = names{}
			order = append(order, k)
		}
		groups[k].add(sp)
		if j.facesOutside(sp) && (of == 0 || slices.ContainsFunc(from, func(l string) bool {
			return slices.Contains(j.facts.Routing[f].Value.Defaults, l)
		})) {
			outside[k] = true
		}
	}
	for _, sp := range j.ask.Ports {
		if familyOf(sp) != f {
			continue
		}
		proto := protoOf(sp)
		for _, p := range j.packets(sp, c.Base) {
			p.Proto = numberOf(proto)
			if !p.Received {
				if r := walk(p, proto); r.state != Yes {
					note(sp, r, []string{"this host itself"}, 0)
				}
				continue
			}
			byState := map[result][]string{}
			tried := 0
			for _, in := range ins {
				if in == p.Out && !slices.Contains(j.facts.Routing[f].Value.Defaults, in) {
					continue // only neighbours of the endpoint, or itself, would come by there
				}
				tried++
				p.In = in
				if r := walk(p, proto); r.state != Yes {
					byState[r] = append(byState[r], in)
				}
			}
			for r, from := range byState {
				note(sp, r, from, tried)
			}
		}
	}
	slices.SortFunc(order, func(a, b key) int {
		return strings.Compare(fmt.Sprint(b.state, a.by, a.from), fmt.Sprint(a.state, b.by, b.from))
	})
	for _, k := range order {
		j.add(j.firewallFinding(t, c, k.state, k.by, k.from, k.track, k.all || outside[k], groups[k]))
	}
}

// facesOutside reports whether a Service has an address that is made for clients beyond the cluster.
func (j *judge) facesOutside(sp *resolve.ServicePort) bool {
	return slices.ContainsFunc(sp.Addresses, func(a resolve.Address) bool { return a.Kind != resolve.ClusterIP })
}

// packets gives the packets of a Service that a base chain sees, one for each destination. Not all are known by where
// they come from.
func (j *judge) packets(sp *resolve.ServicePort, b *foreign.Base) []foreign.Packet {
	early := (b.Hook == foreign.Prerouting || b.Hook == foreign.Output) && b.Priority <= priorityDNAT
	p := foreign.Packet{Tracked: b.Priority > priorityConntrack, Translated: !early, Received: b.Hook != foreign.Output}
	if b.Hook == foreign.Forward || b.Hook == foreign.Input || b.Hook == foreign.Postrouting {
		p.Tracked = true
	}
	var out []foreign.Packet
	if early {
		for i := range sp.Addresses {
			at := &sp.Addresses[i]
			q := p
			q.To = netip.AddrPortFrom(at.Addr, at.Port)
			q.Local = at.Kind == resolve.NodePort || j.own(at.Addr)
			if at.Kind == resolve.NodePort {
				hosts := j.hostAddrs(familyOf(sp))
				if len(hosts) == 0 {
					continue
				}
				q.To = netip.AddrPortFrom(hosts[0], at.Port)
			}
			out = append(out, q)
		}
		return out
	}
	for _, e := range endpointsOf(sp) {
		local := j.own(e.Addr())
		if b.Hook == foreign.Input && !local || (b.Hook == foreign.Forward || b.Hook == foreign.Postrouting) && local {
			continue
		}
		q := p
		q.To, q.Local = e, local
		if r := j.facts.Routes[e.Addr()]; r.Known && b.Hook != foreign.Prerouting && b.Hook != foreign.Input {
			q.Out = r.Value.Link
		}
		out = append(out, q)
	}
	return out
}

func (j *judge) firewallFinding(
	t *foreign.Table, c *foreign.Chain, state Answer, by, from string, untracked, severe bool, whom names,
) Finding {
	f := Finding{
		Check: Firewall, Subject: tableName(t) + " " + c.Name, Answer: state, Level: Warning, Services: whom.sorted(),
	}
	if from == "" {
		from = "anywhere"
	}
	what := "what comes in by " + from
	if from == "this host itself" {
		what = "what this host sends itself"
	}
	switch {
	case untracked:
		f.Message = fmt.Sprintf("%s keeps %s from connection tracking, and without it nothing is translated", by, what)
		f.Remedy = "take the notrack rule away, or except the addresses of Services from it"
	case state == No:
		f.Message = fmt.Sprintf("chain %s at %s drops %s for these Services (%s); a drop in any chain is final, whatever its priority",
			c.Name, c.Base.Hook, what, by)
		f.Remedy = j.acceptRemedy(t, c)
	default:
		f.Message = fmt.Sprintf("chain %s at %s drops %s for these Services, unless a rule accepts it whose conditions are not known here (%s)",
			c.Name, c.Base.Hook, what, by)
		f.Remedy = j.acceptRemedy(t, c) + ", if it is not accepted yet"
	}
	if state == No && severe {
		f.Level = Problem
	}
	return f
}

// acceptRemedy gives the command that lets translated connections through a chain, in both directions.
func (j *judge) acceptRemedy(t *foreign.Table, c *foreign.Chain) string {
	program := "iptables"
	if t.Family == foreign.IPv6 {
		program = "ip6tables"
	}
	early := (c.Base.Hook == foreign.Prerouting || c.Base.Hook == foreign.Output) && c.Base.Priority <= priorityDNAT
	switch {
	case early:
		return "accept the addresses of these Services in it"
	case t.Chain("DOCKER-USER") != nil && c.Base.Hook == foreign.Forward:
		return program + " -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"
	case whose(t) == "iptables" || whose(t) == "docker" || whose(t) == "kube-proxy":
		return fmt.Sprintf("%s -I %s -m conntrack --ctstate DNAT -j ACCEPT", program, c.Name)
	case t.Name == "firewalld":
		return "make a policy of firewalld that accepts it (man 5 firewalld.policies)"
	default:
		return fmt.Sprintf("nft insert rule %s %s ct status dnat accept", tableName(t), c.Name)
	}
}
