package graph

// EqualRun gives how many elements are the same, key and data, from index i of the list and from index j of another on.
// Two rulesets that are compared differ in a few elements of hundreds of thousands: this is where that time goes.
func (l *Elements) EqualRun(i int, o *Elements, j int) int {
	most := min(l.Len()-i, o.Len()-j)
	if most <= 0 {
		return 0
	}
	if !l.form.sameKeys(&o.form) || l.form.to != o.form.to || l.form.toPort != o.form.toPort || l.form.verdict != o.form.verdict {
		for n := range most {
			if l.CompareKeys(i+n, o, j+n) != 0 || !l.SameData(i+n, o, j+n) {
				return n
			}
		}
		return most
	}
	plain := int(l.form.keyWords + l.form.dataWords)
	if l.form.verdict {
		plain-- // the number of a chain is the list's own
	}
	a, b := l.words[i*int(l.form.stride):], o.words[j*int(o.form.stride):]
	for n := range most {
		for k, x := range a[:plain] {
			if b[k] != x {
				return n
			}
		}
		if l.form.verdict && !sameVerdict(l.shared, a[plain], o.shared, b[plain]) {
			return n
		}
		a, b = a[l.form.stride:], b[o.form.stride:]
	}
	return most
}

func sameVerdict(s *shared, x uint32, o *shared, y uint32) bool {
	n, m := x&maxChains, y&maxChains
	if x>>chainBits != y>>chainBits || (n == 0) != (m == 0) {
		return false
	}
	return n == 0 || s.chains[n-1] == o.chains[m-1]
}
