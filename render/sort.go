package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Order gives the order, as indexes, that kubectl's --sort-by=PATH puts objects in: by the first value that the path
// finds in each, numbers as numbers and digits inside of text, too ("10.1.0.9" before "10.1.0.10"). Objects without a
// value come first; equals stay in the order they had. A path that finds nothing in any object is an error.
func Order(objects []Object, path string) ([]int, error) {
	parsed, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	order, values, found := make([]int, len(objects)), make([]any, len(objects)), false
	for i, o := range objects {
		order[i] = i
		v, err := jsonValue(o)
		if err != nil {
			return nil, err
		}
		results, err := parsed.FindResults(v)
		if err != nil {
			return nil, err
		}
		if len(results) == 0 || len(results[0]) == 0 || !results[0][0].CanInterface() {
			continue
		}
		found = true
		switch value := results[0][0].Interface().(type) {
		case nil, json.Number, string, bool:
			values[i] = value
		default:
			return nil, fmt.Errorf("nothing can be sorted by %s: in %s it is a list or a map", path, resourceName(o))
		}
	}
	if !found && len(objects) > 0 {
		return nil, fmt.Errorf("couldn't find any field with path %q in the list of objects", bracedPath(path))
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareValues(values[a], values[b]) })
	return order, nil
}

// compareValues compares two values of JSON: nothing, then booleans, then numbers, then text.
func compareValues(a, b any) int {
	rank := func(v any) int {
		switch v.(type) {
		case nil:
			return 0
		case bool:
			return 1
		case json.Number:
			return 2
		default:
			return 3
		}
	}
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case bool:
		return cmp.Compare(bit(a), bit(b.(bool)))
	case json.Number: // those of the API are far below 2⁵³
		x, _ := a.Float64()
		y, _ := b.(json.Number).Float64()
		return cmp.Compare(x, y)
	case string:
		return compareNatural(a, b.(string))
	default:
		return 0
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareNatural compares text in which runs of digits count as numbers. Equal numbers of different length, "7" and "07",
// leave the decision to what follows, and if that is the same, to the bytes.
func compareNatural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		p, q := digits(x), digits(y)
		if p == "" || q == "" {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		m, n := strings.TrimLeft(p, "0"), strings.TrimLeft(q, "0")
		if c := cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n)); c != 0 {
			return c
		}
		x, y = x[len(p):], y[len(q):]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// digits gives the digits that a text begins with.
func digits(s string) string {
	n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		return s
	}
	return s[:n]
}
