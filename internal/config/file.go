package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/svcctl/svcctl/compiler/diag"
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
		hint := "the keys are " + strings.Join(keys(), ", ")
		if near := diag.Nearest(key.Value, keys()); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		f.errs = append(f.errs, fmt.Errorf("%s:%d: unknown key %q; %s", f.name, key.Line, key.Value, hint))
	}
	f.lines[key.Value] = key.Line
}

func isKey(key string) bool {
	return slices.Contains(keys(), key)
}

// keys are the known keys.
func keys() []string {
	out := make([]string, len(settings))
	for i, s := range settings {
		out[i] = s.key
	}
	return out
}
