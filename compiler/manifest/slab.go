package manifest

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// slab gives out the elements of longer slices, for the many small things that objects point to: an allocation for
// hundreds of them costs hardly more than one for one.
type slab[T any] struct{ free []T }

// slabBytes and slabLength bound what is allocated at a time: little enough that an object that is kept keeps little else
// alive.
const (
	slabBytes  = 8 << 10
	slabLength = 256
)

// take gives n zero elements, never nil. Appending to them does not touch what was given to others.
func (s *slab[T]) take(n int) []T {
	if n == 0 {
		return []T{}
	}
	if n > len(s.free) {
		length := min(slabBytes/int(reflect.TypeFor[T]().Size()), slabLength)
		if n > length/4 {
			return make([]T, n)
		}
		s.free = make([]T, length)
	}
	t := s.free[:n:n]
	s.free = s.free[n:]
	return t
}

// one gives a pointer to a zero element.
func (s *slab[T]) one() *T { return &s.take(1)[0] }

// slabs are where the values of the commonest types come from.
type slabs struct {
	strings       slab[string]
	bools         slab[bool]
	int32s        slab[int32]
	lists         slab[list]
	places        slab[place]
	servicePorts  slab[corev1.ServicePort]
	endpointPorts slab[discoveryv1.EndpointPort]
	endpoints     slab[discoveryv1.Endpoint]
}

// point makes the pointer v point to a zero value, and gives that.
func (s *slabs) point(info *typeInfo, v reflect.Value) reflect.Value {
	switch p := v.Addr().Interface().(type) {
	case **string:
		*p = s.strings.one()
	case **bool:
		*p = s.bools.one()
	case **int32:
		*p = s.int32s.one()
	default:
		v.Set(reflect.New(info.typ.Elem()))
	}
	return v.Elem()
}

// extend makes the slice v one of n zero elements.
func (s *slabs) extend(info *typeInfo, v reflect.Value, n int) {
	switch p := v.Addr().Interface().(type) {
	case *[]string:
		*p = s.strings.take(n)
	case *[]corev1.ServicePort:
		*p = s.servicePorts.take(n)
	case *[]discoveryv1.EndpointPort:
		*p = s.endpointPorts.take(n)
	case *[]discoveryv1.Endpoint:
		*p = s.endpoints.take(n)
	default:
		v.Set(reflect.MakeSlice(info.typ, n, n))
	}
}
