package manifest

import (
	"maps"
	"slices"
	"strings"
)

// nearest gives the field whose name is most like a misspelt one, or "" where none is alike.
func nearest(name string, fields map[string]*fieldInfo) string {
	if len(name) > 64 {
		return "" // longer than any field's
	}
	best, least := "", len(name)/3+2
	for _, candidate := range slices.Sorted(maps.Keys(fields)) {
		if distance := editDistance(strings.ToLower(name), strings.ToLower(candidate)); distance < least {
			best, least = candidate, distance
		}
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
