package manual

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Setting is a key of the configuration file.
type Setting struct {
	Key, Variable string
	Default       string // as YAML, on one line
	Text          string
}

// ReadSettings takes the settings out of examples/config.yaml, which has every one at its default below a comment that
// explains it. variable gives the environment variable of a key.
func ReadSettings(example []byte, variable func(key string) string) ([]Setting, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(example, &document); err != nil {
		return nil, err
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("the example of the configuration is no mapping")
	}
	var out []Setting
	content := document.Content[0].Content
	for i := 0; i < len(content); i += 2 {
		key, value := content[i], content[i+1]
		comment := key.HeadComment
		// What is above the last empty line is a headline.
		if at := strings.LastIndex(comment, "\n\n"); at >= 0 {
			comment = comment[at:]
		}
		text := strings.Join(strings.Fields(strings.ReplaceAll(comment, "#", "")), " ")
		if text == "" {
			return nil, fmt.Errorf("line %d: %s is not explained", key.Line, key.Value)
		}
		value.Style = yaml.FlowStyle
		var def bytes.Buffer
		enc := yaml.NewEncoder(&def)
		if err := enc.Encode(value); err != nil {
			return nil, err
		}
		out = append(out, Setting{key.Value, variable(key.Value), strings.TrimSpace(def.String()), text})
	}
	return out, nil
}

const settingsIntro = `The configuration of svcctl has the settings of the host that no manifest has. It is a YAML file of the keys
below. None of them has to be there; a key that is not below is an error, and so is one that is there twice.

Each key has an environment variable, in which the items of a list are separated by commas, and some have an option
of svcctl(1). An option comes before a variable, a variable before the file, the file before the default.`

func (b Book) settingsPage() []byte {
	name := b.Root.Name() + "-config"
	var r roff
	r.begin(name, 5, b)
	r.linef(".SH NAME")
	r.linef("%s \\- the configuration file of %s", escape(name), escape(b.Root.Name()))
	r.linef(".SH SYNOPSIS")
	r.linef(".I %s", escape("/etc/svcctl/config.yaml"))
	r.linef(".SH DESCRIPTION")
	r.blocks(parse(settingsIntro))
	r.linef(".SH SETTINGS")
	for _, s := range b.Settings {
		r.item(`\fB`+escape(s.Key)+`\fR`, s.Text)
		r.linef(".IP")
		r.text("Default: " + s.Default + ". Variable: " + s.Variable + ".")
	}
	r.linef(".SH EXAMPLES")
	r.lines([]string{
		"# a node of a cluster whose pods are in 10.1.0.0/16",
		"clusterCIDRs: [10.1.0.0/16]",
		`nodePortRange: "30000-30999"`,
		"counters: true",
	})
	r.linef(".SH SEE ALSO")
	r.linef(".BR %s (1)", escape(b.Root.Name()))
	return []byte(r.String())
}
