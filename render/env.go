package render

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/svcctl/svcctl/compiler/envvars"
)

// EnvFormats are the formats of environment variables.
var EnvFormats = []string{"dotenv", "export", "json", "systemd"}

// Env writes environment variables in one of the formats, each so that what it is made for reads exactly the values:
//
//   - dotenv, for docker run --env-file and its kin, Docker Compose and the dotenv libraries: NAME=value. They differ in
//     what quotes mean, so there are none, and a value is refused that one of them would not take as it is;
//   - export, for a POSIX shell: export NAME='value';
//   - json: one object;
//   - systemd, for EnvironmentFile= (systemd.exec(5)): NAME="value".
//
// A shell and systemd refuse names that begin with a digit, as a Service's may: those variables are not written to their
// formats but given back. What a format cannot hold otherwise is an error.
func Env(w io.Writer, format string, variables []envvars.Variable) (left []envvars.Variable, err error) {
	out := newWriter(w)
	line, known := envLines[format]
	switch {
	case format == "json":
		return nil, envJSON(out, variables)
	case !known:
		return nil, fmt.Errorf("unknown format %q of environment variables", format)
	}
	for _, v := range variables {
		if !isEnvName(v.Name) {
			return left, fmt.Errorf("%q is no name of an environment variable", v.Name)
		}
		if format != "dotenv" && isDigit(rune(v.Name[0])) {
			left = append(left, v)
			continue
		}
		text, ok := line(v.Name, v.Value)
		if !ok {
			return left, fmt.Errorf("the format %s cannot hold the value of %s: %q", format, v.Name, v.Value)
		}
		out.str(text, "\n")
	}
	return left, out.close()
}

// envLines give the line of a variable, or false where the format has none for its value.
var envLines = map[string]func(name, value string) (string, bool){
	"dotenv": func(name, value string) (string, bool) {
		return name + "=" + value, !strings.ContainsFunc(value, func(r rune) bool { return !isPlainInEnv(r) })
	},
	// Between single quotes a shell takes everything as it is but the quote itself (POSIX, Shell Command Language, 2.2.2).
	"export": func(name, value string) (string, bool) {
		return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'", !strings.Contains(value, "\x00")
	},
	"systemd": func(name, value string) (string, bool) {
		return name + `="` + systemdEscapes.Replace(value) + `"`,
			utf8.ValidString(value) && !strings.ContainsFunc(value, refusedBySystemd)
	},
}

// systemdEscapes escape what systemd.exec(5) says is special between double quotes: what is in a shell, although nothing
// is expanded.
var systemdEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`)

// refusedBySystemd reports whether systemd ignores a variable, or the file, for a character.
func refusedBySystemd(r rune) bool {
	return r < ' ' || r == '\x7f' || r == '\ufeff' || '\ufdd0' <= r && r <= '\ufdef' || r&0xfffe == 0xfffe
}

// isPlainInEnv reports whether every reader of dotenv files takes a character of an unquoted value as it is.
func isPlainInEnv(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || isDigit(r) || strings.ContainsRune("_./:[]-", r)
}

// isEnvName reports whether a name is what Services and their ports have for names, folded: neither a space nor "=", which
// would end it, nor anything else that is not one of A-Z, 0-9 and _.
func isEnvName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && !isDigit(r) && (r < 'A' || r > 'Z')
	})
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// envJSON writes the variables in their order, which a map would lose.
func envJSON(out *writer, variables []envvars.Variable) error {
	if len(variables) == 0 {
		out.str("{}\n")
		return out.close()
	}
	for i, v := range variables {
		if i == 0 {
			out.str("{\n")
		}
		if !utf8.ValidString(v.Name) || !utf8.ValidString(v.Value) {
			return fmt.Errorf("the format json cannot hold what is not UTF-8: %q=%q", v.Name, v.Value)
		}
		out.str("    ", quoteJSON(v.Name), ": ", quoteJSON(v.Value))
		if i < len(variables)-1 {
			out.str(",")
		}
		out.str("\n")
	}
	out.str("}\n")
	return out.close()
}
