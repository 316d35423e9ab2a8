package preflight

import (
	"fmt"
	"strings"

	"github.com/svcctl/svcctl/compiler/resolve"
)

// instead says what svcctl does where a feature is missing that it can do without (nft.FeatureResize and so on).
var instead = map[string]string{
	"set-resize":    "a table is made anew, in one transaction, when a map has to grow",
	"destroy":       "a client that is forgotten at the very moment of a change costs one more try",
	"chain-removal": "chains go in a transaction of their own, after the change",
}

// only says what has to be asked for to need a feature.
func (j *judge) needs(feature string) (used bool, by names, what string) {
	switch feature {
	case "source-hash":
		by = names{}
		for _, sp := range j.ask.Ports {
			if sp.SourceHash {
				by.add(sp)
			}
		}
		return len(by) > 0, by, "the service.kubernetes.io annotation for source hashing"
	case "counters":
		return j.ask.Counters, nil, "counters: true"
	default:
		return true, nil, ""
	}
}

func (j *judge) features() {
	type merged struct {
		answer Answer
		why    []string
	}
	var order []string
	all := map[string]*merged{}
	for _, f := range j.facts.Features {
		m := all[f.Name]
		if m == nil {
			m = &merged{answer: f.Answer}
			all[f.Name] = m
			order = append(order, f.Name)
		}
		switch {
		case f.Answer == No, f.Answer == CannotTell && m.answer == Yes:
			m.answer = f.Answer
		}
		if f.Why != "" {
			why := familyNames[f.Family] + ": " + f.Why
			if len(m.why) > 0 && strings.HasSuffix(m.why[0], ": "+f.Why) {
				m.why[0] = f.Why // it is the same for both
				continue
			}
			m.why = append(m.why, why)
		}
	}
	for _, name := range order {
		m := all[name]
		used, by, what := j.needs(name)
		way, avoidable := instead[name]
		why := strings.Join(m.why, "; ")
		f := Finding{Check: KernelFeature, Subject: name, Answer: m.answer, Services: by.sorted()}
		switch {
		case m.answer == Yes:
			f.Message, f.Services = "the kernel has it", nil
		case m.answer == CannotTell:
			f.Level, f.Message = Warning, "not tried: "+why
			f.Remedy = "run svcctl check as root"
			if avoidable || !used {
				f.Level = Note
			}
		case avoidable:
			f.Level, f.Message = Note, fmt.Sprintf("the kernel lacks it, so %s (%s)", way, why)
		case !used:
			f.Level, f.Message = Note, fmt.Sprintf("the kernel lacks it, and only %s needs it (%s)", what, why)
		default:
			f.Level, f.Message = Problem, "the kernel lacks it, and apply would fail: "+why
			f.Remedy = "install the kernel's extra modules (nft_* and nf_*), or a kernel that has them"
		}
		j.add(f)
	}
	switch p := j.facts.Program; {
	case p.Known && p.Value == "":
		j.yes(KernelFeature, "ruleset", "the kernel takes the ruleset of these Services")
	case p.Known:
		j.add(Finding{
			Check: KernelFeature, Subject: "ruleset", Answer: No, Level: Problem,
			Message: "the kernel refuses the ruleset of these Services: " + p.Value,
			Remedy:  "the features above say what it lacks",
		})
	case p.Why != "":
		j.unknown(KernelFeature, "ruleset", "not tried: "+p.Why, "run svcctl check as root")
	}
}

// How full connection tracking may be, in percent of its limit.
const (
	conntrackFull  = 95
	conntrackClose = 80
)

func (j *judge) conntrack() {
	c := j.facts.Conntrack
	if !c.Known {
		if c.Why != "" {
			j.unknown(ConnTracking, "table", c.Why, "")
		}
		return
	}
	percent := 0
	if c.Value.Max > 0 {
		percent = c.Value.Count * 100 / c.Value.Max
	}
	f := Finding{
		Check: ConnTracking, Subject: "table", Answer: Yes,
		Message: fmt.Sprintf("%d of %d connections are in use", c.Value.Count, c.Value.Max),
	}
	if c.Value.Max > 0 && percent >= conntrackClose {
		f.Answer, f.Level = No, Warning
		f.Message += ": when all are, new ones are dropped, whatever the rules say"
		if percent >= conntrackFull {
			f.Level = Problem
		}
		f.Remedy = fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*c.Value.Max)
	}
	j.add(f)
}

// remote gives the Services of a family that have an endpoint beyond this host.
func (j *judge) remote(want func(*resolve.ServicePort) bool) names {
	out := names{}
	for _, sp := range j.ask.Ports {
		if !want(sp) {
			continue
		}
		for _, e := range endpointsOf(sp) {
			if !j.own(e.Addr()) {
				out.add(sp)
				break
			}
		}
	}
	return out
}
