package graph

import "slices"

// Span is a run of elements of a list: from an index to before another.
type Span struct{ From, To int }

// Exchange gives the elements of a list with others in place of some: without those of the spans, which are in order and do
// not overlap, and with those of another list. Both lists are in canonical order, and so is the result; neither is changed.
//
// Where hundreds of thousands stay and a few come and go, the cost is that of copying those that stay.
func (l Elements) Exchange(spans []Span, add Elements) Elements {
	out := l.emptyFor(add)
	n := l.Len()
	for _, s := range spans {
		n -= s.To - s.From
	}
	out.Grow(n + add.Len())
	next := 0 // of add
	keep := func(from, to int) {
		for next < add.Len() && from < to {
			// Those that come before what is added stand together.
			at := from + searchFrom(l, from, to, add.KeyAt(next))
			out.appendAll(l, from, at)
			if from = at; from < to {
				out.Append(add.At(next))
				next++
			}
		}
		out.appendAll(l, from, to)
	}
	from := 0
	for _, s := range spans {
		keep(from, s.From)
		from = s.To
	}
	keep(from, l.Len())
	out.appendAll(add, next, add.Len())
	return out
}

// searchFrom gives how many of the elements [from, to) come before a key.
func searchFrom(l Elements, from, to int, k Key) int {
	n, _ := l.Slice(from, to).Search(k)
	return n
}

// emptyFor gives an empty list of a form that the elements of both lists fit.
func (l Elements) emptyFor(o Elements) Elements {
	f := l.form
	if f.stride == 0 {
		f = o.form
	}
	f.origin = f.origin || o.form.origin
	return Elements{form: f.counted(), shared: &shared{origins: []origin{{}}}}
}

// appendAll adds elements of another list. Where they differ from those of this one in nothing but the words of their
// origin, and have none themselves, they are copied as they are.
func (l *Elements) appendAll(from Elements, begin, end int) {
	plain := from.form
	plain.origin = l.form.origin
	if from.form.origin || from.form.verdict || plain.counted() != l.form {
		for i := begin; i < end; i++ {
			l.Append(from.At(i))
		}
		return
	}
	if l.words == nil {
		l.words = make([]uint32, 0, l.room*int(l.form.stride))
	}
	if !l.form.origin {
		l.words = append(l.words, from.words[begin*int(from.form.stride):end*int(from.form.stride)]...)
		return
	}
	l.words = slices.Grow(l.words, (end-begin)*int(l.form.stride))
	for i := begin; i < end; i++ {
		l.words = append(append(l.words, from.record(i)...), 0, 0, 0) // the first origin is none
	}
}
