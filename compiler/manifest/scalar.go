package manifest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Scalars without quotes are what YAML 1.1 makes of them (https://yaml.org/type/), in the reading of sigs.k8s.io/yaml,
// which kubectl uses: yes, no, on, off, y and n are booleans, 010 is eight, 1_000 is a thousand, 12:30 is a string.

// The short forms of the tags that mean something for a scalar.
const (
	tagNull   = "!!null"
	tagBool   = "!!bool"
	tagInt    = "!!int"
	tagFloat  = "!!float"
	tagBinary = "!!binary"
)

// yamlFloat is the form of a decimal number with a fraction or an exponent.
var yamlFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// scalarHint says, by the first byte of a plain scalar, whether it can be anything but a string.
var scalarHint = func() (t [256]bool) {
	for _, c := range []byte("0123456789+-.yYnNtTfFoO~") {
		t[c] = true
	}
	return t
}()

// resolvePlain makes a scalar without quotes and tag what it looks like. It fills in kind and text.
func (n *node) resolvePlain(text string) {
	if text == "" {
		return // a node is null until it is something else
	}
	n.plain = true
	n.kind, n.text = stringNode, text
	if !scalarHint[text[0]] {
		return
	}
	switch text {
	case "~", "null", "Null", "NULL":
		n.kind = nullNode
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		n.kind = trueNode
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		n.kind = falseNode
	case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
		n.kind = numberNode // which no field takes, for JSON has no such number
	default:
		if number, ok := resolveNumber(text); ok {
			n.kind, n.text = numberNode, number
		}
	}
}

// resolveTagged does what a tag asks for. Tags that are not of YAML itself leave a string, as they do in kubectl.
func (n *node) resolveTagged(tag, text string) error {
	switch tag {
	case tagNull, tagBool, tagInt, tagFloat:
		n.resolvePlain(text)
		n.plain = false
		if !n.satisfies(tag) {
			return fmt.Errorf("%q is no %s", text, strings.TrimPrefix(tag, "!!"))
		}
		return nil
	case tagBinary:
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return errors.New("a !!binary value that is not base64")
		}
		text = string(data)
	}
	n.kind, n.text = stringNode, text
	return nil
}

func (n *node) satisfies(tag string) bool {
	switch tag {
	case tagNull:
		return n.kind == nullNode
	case tagBool:
		return n.kind == trueNode || n.kind == falseNode
	case tagInt:
		return n.kind == numberNode && !strings.ContainsAny(n.text, ".eEnN")
	default:
		return n.kind == numberNode
	}
}

// resolveNumber gives a number as JSON writes it, and whether the text is one.
func resolveNumber(text string) (string, bool) {
	if isDecimal(text) {
		return text, true
	}
	switch c := text[0]; {
	case c == '.':
		f, err := strconv.ParseFloat(text, 64)
		return jsonFloat(f), err == nil
	case c != '+' && c != '-' && (c < '0' || c > '9'):
		return "", false
	}
	if strings.Count(text, ".") > 1 {
		return "", false // an address; what follows would take long to find that out
	}
	digits := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return strconv.FormatInt(i, 10), true
	}
	if u, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return strconv.FormatUint(u, 10), true
	}
	if yamlFloat.MatchString(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return jsonFloat(f), true
		}
	}
	// The library looks for a sign after the prefix, too: 0b-1.
	if binary, ok := strings.CutPrefix(digits, "0b"); ok {
		if i, err := strconv.ParseInt(binary, 2, 64); err == nil {
			return strconv.FormatInt(i, 10), true
		}
	}
	return "", false
}

// isDecimal reports whether the text is an integer just as JSON would write it, small enough to be exact everywhere.
func isDecimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 18 || digits[0] == '0' && len(text) > 1 {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

func jsonFloat(f float64) string {
	b, err := json.Marshal(f)
	if err != nil {
		return ".nan"
	}
	return string(b)
}

// numberKey gives a number as the key kubectl makes of it: integers in decimal, fractions in single precision.
func numberKey(text string) (string, bool) {
	if isDecimal(text) {
		return text, true
	}
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return text, true
	}
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		return "", false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return text, true // .inf and .nan stay as they are
	}
	switch key := strconv.FormatFloat(f, 'g', -1, 32); key {
	case "+Inf":
		return ".inf", true
	case "-Inf":
		return "-.inf", true
	default:
		return key, true
	}
}
