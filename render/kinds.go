package render

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kindOf gives the kind of an object by its Go type: decoded items of a List may not say it themselves.
func kindOf(o Object) schema.GroupVersionKind {
	switch o.(type) {
	case *corev1.Service:
		return corev1.SchemeGroupVersion.WithKind("Service")
	case *corev1.Endpoints:
		return corev1.SchemeGroupVersion.WithKind("Endpoints")
	case *corev1.Pod:
		return corev1.SchemeGroupVersion.WithKind("Pod")
	case *corev1.Node:
		return corev1.SchemeGroupVersion.WithKind("Node")
	case *discoveryv1.EndpointSlice:
		return discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")
	default:
		return o.GetObjectKind().GroupVersionKind()
	}
}
