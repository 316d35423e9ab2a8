package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/svcctl/svcctl/compiler/graph"
	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/plan"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/internal/state"
)

// withObject completes the model of a test to what digests need.
func withObject(m *resolve.Model) *resolve.Model {
	for _, s := range m.Services {
		s.Object = &manifest.Object[corev1.Service]{Ref: s.Ref}
	}
	return m
}

// What the record says and what the kernel lacks, in all combinations.
func TestResults(t *testing.T) {
	c := &cli{env: &environment{}}
	c.config.Table = "svcctl"
	compile := func(m *resolve.Model) *graph.Ruleset {
		t.Helper()
		rs, err := c.compile(m)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	model := withObject(affinityModel("10.1.0.1:8080"))
	desired := compile(model)
	kernels := map[string]*graph.Ruleset{
		"nothing":         {},
		"other services":  compile(&resolve.Model{}),
		"other endpoints": compile(affinityModel("10.1.0.2:8080")),
		"the same":        desired,
	}
	same := digests(model)
	records := map[string]*state.Record{
		"none":      nil,
		"empty":     {},
		"the same":  {Services: same},
		"different": {Services: map[string]string{"default/a": "0"}},
	}
	for _, tc := range []struct {
		record, kernel string
		want           action
	}{
		{"none", "nothing", created},
		{"none", "other services", created},
		{"none", "other endpoints", configured},
		{"none", "the same", unchanged},
		{"empty", "nothing", created},
		{"empty", "other endpoints", created}, // another service had the address
		{"empty", "the same", created},        // its name is new
		{"the same", "nothing", created},
		{"the same", "other services", configured},
		{"the same", "other endpoints", configured},
		{"the same", "the same", unchanged},
		{"different", "nothing", created},
		{"different", "other services", configured},
		{"different", "the same", configured},
	} {
		observed := kernels[tc.kernel]
		got := results(model, records[tc.record], &change{observed: observed, plan: plan.Diff(observed, desired)}, digestsOf(model))
		if diff := cmp.Diff([]result{{"default", "a", tc.want}}, got); diff != "" {
			t.Errorf("record %s, kernel has %s (-want +got):\n%s", tc.record, tc.kernel, diff)
		}
	}
	gone := &state.Record{Services: map[string]string{"default/b": "0", "default/a": same["default/a"], "a/z": "0"}}
	got := results(model, gone, &change{observed: desired, plan: &plan.Plan{}}, digestsOf(model))
	want := []result{{"a", "z", pruned}, {"default", "a", unchanged}, {"default", "b", pruned}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with services that are gone (-want +got):\n%s", diff)
	}
}

func digestsOf(m *resolve.Model) func() map[string]string {
	return func() map[string]string { return digests(m) }
}

func TestResultsOfServicesNotServed(t *testing.T) {
	model := withObject(affinityModel())
	model.ServicePorts = nil
	model.Services[0].Skipped = "headless"
	nothing := &change{observed: &graph.Ruleset{Tables: []*graph.Table{{}}}, plan: &plan.Plan{}}
	for name, tc := range map[string]struct {
		known *state.Record
		want  action
	}{
		"no record":  {nil, created},
		"recorded":   {&state.Record{Services: digests(model)}, unchanged},
		"unrecorded": {&state.Record{}, created},
		"changed":    {&state.Record{Services: map[string]string{"default/a": "0"}}, configured},
	} {
		if got := results(model, tc.known, nothing, digestsOf(model)); got[0].Action != tc.want {
			t.Errorf("%s: %s, want %s", name, got[0].Action, tc.want)
		}
	}
}

func TestDigestCoversWhatMatters(t *testing.T) {
	base := digest(withObject(affinityModel()).Services[0])
	for name, change := range map[string]func(*resolve.Service){
		"labels":      func(s *resolve.Service) { s.Object.Value.Labels = map[string]string{"a": "b"} },
		"annotations": func(s *resolve.Service) { s.Object.Value.Annotations = map[string]string{"a": "b"} },
		"spec":        func(s *resolve.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP },
		"ingress": func(s *resolve.Service) {
			s.Object.Value.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}
		},
		"name": func(s *resolve.Service) { s.Ref.Name = "b" },
	} {
		s := withObject(affinityModel()).Services[0]
		change(s)
		if digest(s) == base {
			t.Errorf("a change of the %s leaves the digest the same", name)
		}
	}
	s := withObject(affinityModel()).Services[0]
	s.Object.Value.ResourceVersion, s.Object.Value.UID = "17", "u"
	if digest(s) != base {
		t.Error("the bookkeeping of an API server changes the digest")
	}
}

func TestColor(t *testing.T) {
	for _, tc := range []struct {
		when     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{"auto", true, nil, true},
		{"auto", false, nil, false},
		{"auto", true, map[string]string{"NO_COLOR": "1"}, false},
		{"auto", true, map[string]string{"TERM": "dumb"}, false},
		{"always", false, map[string]string{"NO_COLOR": "1"}, true},
		{"never", true, nil, false},
	} {
		e := &environment{terminal: tc.terminal, getenv: func(k string) string { return tc.env[k] }}
		if got := e.color(tc.when); got != tc.want {
			t.Errorf("--color %s, terminal %v, environment %v: %v", tc.when, tc.terminal, tc.env, got)
		}
	}
}
