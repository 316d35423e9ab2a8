package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svcctl/svcctl/compiler/manifest"
	"github.com/svcctl/svcctl/compiler/resolve"
	"github.com/svcctl/svcctl/render"
)

// scope is what the commands that show services look at.
type scope struct {
	input         inputFlags
	namespace     string
	allNamespaces bool
}

func (s *scope) addTo(c *cli, cmd *cobra.Command) {
	s.input.quiet = true
	s.input.addTo(cmd)
	s.addNamespaceTo(c, cmd, "namespace to look into")
	cmd.Flags().BoolVarP(&s.allNamespaces, "all-namespaces", "A", false, "look into all namespaces")
}

func (s *scope) addNamespaceTo(c *cli, cmd *cobra.Command, usage string) {
	cmd.Flags().StringVarP(&s.namespace, "namespace", "n", metav1.NamespaceDefault, usage)
	complete := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return c.recordedNamespaces(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("namespace", complete); err != nil {
		panic(err) // there is no such flag: a defect of the tree
	}
}

func (s *scope) has(namespace string) bool { return s.allNamespaces || s.namespace == namespace }

// look gives the objects to look at: those of -f, or, where there is no -f, those that are recorded as applied.
func (c *cli) look(ctx context.Context, s *scope) (*input, error) {
	if len(s.input.paths) > 0 {
		s.input.held = heldBy(c.loadRecordQuietly(c.store()))
		return c.load(ctx, &s.input, nil)
	}
	if s.input.recursive {
		return nil, inputError("-R says how to read -f, and there is none: add -f, or leave it out")
	}
	store := c.store()
	record, err := c.readRecord(store)
	if errors.Is(err, fs.ErrNotExist) {
		return &input{bundle: &manifest.Bundle{}, model: &resolve.Model{}}, nil
	}
	if err != nil {
		return nil, recordError(err, "-f says what to look at instead")
	}
	s.input.held = heldBy(record)
	manifests, err := store.Manifests(record)
	if err != nil {
		return nil, recordError(err, "-f says what to look at instead")
	}
	return c.understand(manifests, &s.input, nil)
}

// services gives the Services in the scope.
func (s *scope) services(in *input) []*resolve.Service {
	var out []*resolve.Service
	for _, svc := range in.model.Services {
		if s.has(svc.Ref.Namespace) {
			out = append(out, svc)
		}
	}
	return out
}

// endpoints gives the Endpoints in the scope: those that were given, and those that would be there of the other Services.
func (s *scope) endpoints(in *input) []*corev1.Endpoints {
	var out []*corev1.Endpoints
	given := map[[2]string]bool{}
	for _, o := range in.bundle.Endpoints {
		if given[[2]string{o.Ref.Namespace, o.Ref.Name}] = true; s.has(o.Ref.Namespace) {
			e := o.Value.DeepCopy()
			e.Namespace = o.Ref.Namespace
			for i := range e.Subsets {
				for j := range e.Subsets[i].Ports {
					p := &e.Subsets[i].Ports[j]
					p.Protocol = cmp.Or(p.Protocol, corev1.ProtocolTCP)
				}
			}
			out = append(out, e)
		}
	}
	for _, svc := range s.services(in) {
		if e := render.Endpoints(svc); e != nil && !given[[2]string{svc.Ref.Namespace, svc.Ref.Name}] {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, compareObjects[*corev1.Endpoints])
	return out
}

// compareObjects orders objects of one kind as an API server lists them.
func compareObjects[T metav1.Object](a, b T) int {
	return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
}

// endpointSlices gives the EndpointSlices in the scope: those behind the Services, also where they were made from Pods or
// Endpoints, and those that belong to no Service.
func (s *scope) endpointSlices(in *input) []*discoveryv1.EndpointSlice {
	var out []*discoveryv1.EndpointSlice
	seen := map[[2]string]bool{}
	add := func(e *discoveryv1.EndpointSlice, namespace string) {
		if key := [2]string{namespace, e.Name}; s.has(namespace) && !seen[key] {
			seen[key] = true
			out = append(out, e)
		}
	}
	for _, svc := range in.model.Services {
		for _, slice := range svc.Slices {
			add(slice.EndpointSlice, svc.Ref.Namespace)
		}
	}
	for _, o := range in.bundle.EndpointSlices {
		add(&o.Value, o.Ref.Namespace)
	}
	slices.SortFunc(out, compareObjects[*discoveryv1.EndpointSlice])
	return out
}

// serviceObject gives a Service as an API server would: with its defaults filled in.
func serviceObject(s *resolve.Service) render.Object {
	o := s.Object.Value
	o.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	o.Namespace = s.Ref.Namespace
	o.Spec = s.Spec
	return &o
}

func endpointsObject(e *corev1.Endpoints) render.Object {
	e.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Endpoints"}
	return e
}

func endpointSliceObject(s *discoveryv1.EndpointSlice) render.Object {
	o := *s
	o.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	return &o
}
