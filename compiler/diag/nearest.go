package diag

import (
	"slices"
	"strings"
)

// Nearest gives the one of the known words that a misspelt one was meant to be, or "" where none is alike: the only
// one that it begins, or one that takes few edits, whatever the case. It does not depend on the order of the known words.
func Nearest(word string, known []string) string {
	if len(word) > 64 {
		return "" // longer than any name that is worth comparing
	}
	known = slices.Sorted(slices.Values(known))
	lower := strings.ToLower(word)
	best, least := "", (len(word)+1)/3+1 // a third of it may be wrong
	var begun []string
	for _, candidate := range known {
		if distance := editDistance(lower, strings.ToLower(candidate)); distance < least {
			best, least = candidate, distance
		}
		if len(word) > 2 && strings.HasPrefix(strings.ToLower(candidate), lower) {
			begun = append(begun, candidate)
		}
	}
	if len(begun) == 1 && least > 1 {
		return begun[0]
	}
	return best
}

// editDistance counts the characters to insert, delete, replace or swap with their neighbour to make b of a: the optimal
// string alignment distance.
func editDistance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := prev[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(prev[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
