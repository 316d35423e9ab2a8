package config

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file is a configuration file that is YAML and has no keys but known ones. viper does not notice an unknown key, and
// does not say on which line a key is.
type file struct {
	name  string
	data  []byte
	lines map[string]int
	errs  []error // about keys
}

func parse(name string, data []byte) (*file, error) {
	f := &file{name: name, data: data, lines: map[string]int{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind == 0 { // nothing but comments
		return f, nil
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return f, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: the configuration is a mapping of keys to values", name, top.Line)
	}
	var twice []error
	for i := 0; i+1 < len(top.Content); i += 2 {
		key := top.Content[i]
		if line, known := f.lines[key.Value]; known {
			twice = append(twice,
				fmt.Errorf("%s:%d: the key %q is there twice, first on line %d", name, key.Line, key.Value, line))
		}
		f.addKey(key)
	}
	return f, errors.Join(twice...)
}

func (f *file) addKey(key *yaml.Node) {
	if !isKey(key.Value) {
		f.errs = append(f.errs, fmt.Errorf("%s:%d: unknown key %q; the nearest known one is %q",
			f.name, key.Line, key.Value, nearest(key.Value)))
	}
	f.lines[key.Value] = key.Line
}

func isKey(key string) bool {
	for _, s := range settings {
		if s.key == key {
			return true
		}
	}
	return false
}

// nearest gives the known key that takes the fewest edits to reach, ignoring case.
func nearest(key string) string {
	best, fewest := "", -1
	for _, s := range settings {
		if d := edits(strings.ToLower(key), strings.ToLower(s.key)); fewest < 0 || d < fewest {
			best, fewest = s.key, d
		}
	}
	return best
}

// edits counts the insertions, deletions and replacements between two words (the Levenshtein distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
