package resolve

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/svcctl/svcctl/compiler/diag"
	"github.com/svcctl/svcctl/compiler/manifest"
)

// report takes what is found about one object. Field paths are built only where something is wrong: on the good path
// they would cost more than everything else.
type report struct {
	found *diag.List
	ref   *diag.Object
	in    interface {
		At(field string) diag.Pos
	}
}

func reportOn[T any](found *diag.List, o *manifest.Object[T]) *report {
	return &report{found: found, ref: &o.Ref, in: o}
}

// at says where a field of the object is.
func (r *report) at(field string) diag.Pos { return r.in.At(field) }

// codes gives the code for each kind of finding that k8s.io/apimachinery knows.
var codes = map[field.ErrorType]diag.Code{
	field.ErrorTypeInvalid:      diag.Invalid,
	field.ErrorTypeRequired:     diag.Required,
	field.ErrorTypeForbidden:    diag.Forbidden,
	field.ErrorTypeDuplicate:    diag.Duplicate,
	field.ErrorTypeNotSupported: diag.Unsupported,
	field.ErrorTypeTooMany:      diag.TooMany,
	field.ErrorTypeTooLong:      diag.TooMany,
}

// add takes findings in the API server's form. Their place is that of their field.
func (r *report) add(errs ...*field.Error) {
	for _, e := range errs {
		r.addAt(e.Field, e)
	}
}

// addAt takes findings whose place is another field's: what the API server reports about clusterIPs, say, when only
// clusterIP is written.
func (r *report) addAt(place string, errs ...*field.Error) {
	for _, e := range errs {
		code, ok := codes[e.Type]
		if !ok {
			code = diag.Invalid
		}
		r.found.Errorf(code, r.at(asWritten(place)), *r.ref, e.Field, "%s", e.ErrorBody())
	}
}

// invalid takes the reasons why a value is refused.
func (r *report) invalid(path *field.Path, value any, reasons ...string) {
	for _, reason := range reasons {
		r.add(field.Invalid(path, value, reason))
	}
}

// hinted takes one finding together with what it clashes with. The place is that of another field than the finding's
// where a manifest has it under another name.
func (r *report) hinted(place string, e *field.Error, hint string) {
	r.addAt(place, e)
	(*r.found)[len(*r.found)-1].Hint = hint
}

// conflict takes a finding about what two objects claim.
func (r *report) conflict(e *field.Error, hint string) {
	r.hinted(e.Field, e, hint)
	(*r.found)[len(*r.found)-1].Code = diag.Conflict
}

// warn takes a warning.
func (r *report) warn(code diag.Code, path, format string, args ...any) {
	r.found.Warnf(code, r.at(asWritten(path)), *r.ref, path, format, args...)
}

// asWritten gives the path under which a manifest has a field. The API server reports one field in its Go spelling.
func asWritten(path string) string {
	return strings.Replace(path, "spec.LoadBalancerSourceRanges", "spec.loadBalancerSourceRanges", 1)
}
