// Package diag is what every phase says about its input: where something was written, whose it is, and what is wrong
// with it.
//
// It takes nothing from the other packages and may be imported by all of them. A [Diagnostic] is data; the text a user
// sees is made in one place, [Diagnostic.String].
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pos is a place in an input: a file and, where known, a line and column counted from 1. The zero Pos means "nowhere".
type Pos struct {
	File   string // as the user named it; "<stdin>" for standard input
	Line   int32  // 0: unknown
	Column int32  // 0: unknown
}

// IsZero reports whether the place is unknown.
func (p Pos) IsZero() bool { return p == Pos{} }

// String gives "file:line:column", leaving out what is unknown, and "" for the zero Pos.
func (p Pos) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(int(p.Line))
		if p.Column > 0 {
			s += ":" + strconv.Itoa(int(p.Column))
		}
	}
	return s
}

// Compare orders places by file, line and column.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Object names an API object. Kind is lower case and without group, as in messages: "service", "endpointslice".
type Object struct {
	Kind, Namespace, Name string
}

// String gives "kind namespace/name", or "" for the zero Object.
func (o Object) String() string {
	switch {
	case o == Object{}:
		return ""
	case o.Namespace == "":
		return o.Kind + " " + o.Name
	default:
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
}

// Severity says whether a diagnostic stops the compilation.
type Severity uint8

// The severities.
const (
	Error   Severity = iota // the input is refused; nothing is applied
	Warning                 // the input is accepted
)

// String gives "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Code classifies a diagnostic for machines. Codes are stable; messages are not.
type Code string

// The codes. The first six carry the wording of k8s.io/apimachinery/pkg/util/validation/field.
const (
	Invalid     Code = "Invalid"     // Invalid value
	Required    Code = "Required"    // Required value
	Forbidden   Code = "Forbidden"   // Forbidden
	Duplicate   Code = "Duplicate"   // Duplicate value
	Unsupported Code = "Unsupported" // Unsupported value
	TooMany     Code = "TooMany"     // Too many

	Syntax       Code = "Syntax"       // not YAML or JSON
	UnknownField Code = "UnknownField" // strict decoding
	WrongType    Code = "WrongType"    // a string where a number belongs
	UnknownKind  Code = "UnknownKind"  // --strict and a kind svcctl does not read
	Conflict     Code = "Conflict"     // two objects claim the same thing
	Limit        Code = "Limit"        // more than the program can hold

	Deprecated  Code = "Deprecated"  // warning: a field on its way out
	NoEndpoints Code = "NoEndpoints" // warning: a selector that matches nothing
	OutOfRange  Code = "OutOfRange"  // warning: an address outside the configured CIDRs
	Ignored     Code = "Ignored"     // warning: understood and without effect here
)

// Diagnostic is one finding about the input.
type Diagnostic struct {
	Severity Severity
	Code     Code
	Pos      Pos
	Object   Object
	Field    string // field path as the Kubernetes API server writes it, "spec.ports[0].port"; may be empty
	Message  string // "Invalid value: 0: must be between 1 and 65535, inclusive"
	Hint     string // what to do about it; may be empty
}

// String gives the one line a user sees:
// "services.yaml:14:11: service demo/web: spec.ports[0].port: Invalid value: 0: must be …". Unknown parts are left out;
// a warning starts with "warning: " after the place.
func (d Diagnostic) String() string {
	var parts []string
	if !d.Pos.IsZero() {
		parts = append(parts, d.Pos.String())
	}
	if d.Severity == Warning {
		parts = append(parts, "warning")
	}
	if o := d.Object.String(); o != "" {
		parts = append(parts, o)
	}
	if d.Field != "" {
		parts = append(parts, d.Field)
	}
	s := strings.Join(append(parts, d.Message), ": ")
	if d.Hint != "" {
		s += " (" + d.Hint + ")"
	}
	return s
}

// List is what a phase found, in any order until [List.Sort].
type List []Diagnostic

// Errorf adds an error.
func (l *List) Errorf(code Code, pos Pos, obj Object, field, format string, args ...any) {
	*l = append(*l, Diagnostic{Error, code, pos, obj, field, fmt.Sprintf(format, args...), ""})
}

// Warnf adds a warning.
func (l *List) Warnf(code Code, pos Pos, obj Object, field, format string, args ...any) {
	*l = append(*l, Diagnostic{Warning, code, pos, obj, field, fmt.Sprintf(format, args...), ""})
}

// Sort orders the list by place, object, field and message, and removes exact repetitions, so that the same input gives
// the same list whatever order the phases worked in.
func (l *List) Sort() {
	slices.SortStableFunc(*l, func(a, b Diagnostic) int {
		return cmp.Or(a.Pos.Compare(b.Pos), cmp.Compare(a.Severity, b.Severity),
			strings.Compare(a.Object.String(), b.Object.String()),
			strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
	})
	*l = slices.Compact(*l)
}

// Split parts the list into errors and warnings, keeping the order.
func (l List) Split() (errs, warnings List) {
	for _, d := range l {
		if d.Severity == Warning {
			warnings = append(warnings, d)
		} else {
			errs = append(errs, d)
		}
	}
	return errs, warnings
}

// HasErrors reports whether any diagnostic is an error.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Err gives the errors of the list as one error, or nil where there is none.
func (l List) Err() error {
	errs, _ := l.Split()
	if len(errs) == 0 {
		return nil
	}
	return &InputError{Diagnostics: errs}
}

// InputError is the error of a refused input. It keeps every finding: the command line shows them a line each.
type InputError struct {
	Diagnostics List
}

// Error gives every finding, a line each.
func (e *InputError) Error() string {
	lines := make([]string, len(e.Diagnostics))
	for i, d := range e.Diagnostics {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}
