package render

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/subosito/gotenv"

	"github.com/svcctl/svcctl/compiler/envvars"
)

func envText(t testing.TB, format string, variables ...envvars.Variable) (string, []envvars.Variable, error) {
	t.Helper()
	var b bytes.Buffer
	left, err := Env(&b, format, variables)
	return b.String(), left, err
}

func TestEnv(t *testing.T) {
	variables := []envvars.Variable{
		{Name: "B_SERVICE_HOST", Value: "10.96.0.1"},
		{Name: "B_PORT", Value: "udp://[fd00::1]:53"},
		{Name: "1A_SERVICE_HOST", Value: "10.96.0.2"},
	}
	for format, want := range map[string]string{
		"dotenv": "B_SERVICE_HOST=10.96.0.1\nB_PORT=udp://[fd00::1]:53\n1A_SERVICE_HOST=10.96.0.2\n",
		"export": "export B_SERVICE_HOST='10.96.0.1'\nexport B_PORT='udp://[fd00::1]:53'\n",
		"json": "{\n    \"B_SERVICE_HOST\": \"10.96.0.1\",\n    \"B_PORT\": \"udp://[fd00::1]:53\",\n" +
			"    \"1A_SERVICE_HOST\": \"10.96.0.2\"\n}\n",
		"systemd": "B_SERVICE_HOST=\"10.96.0.1\"\nB_PORT=\"udp://[fd00::1]:53\"\n",
	} {
		text, left, err := envText(t, format, variables...)
		if err != nil {
			t.Errorf("%s: %v", format, err)
		}
		same(t, want, text)
		if holds := format == "dotenv" || format == "json"; (len(left) == 0) != holds || !holds && left[0].Name != "1A_SERVICE_HOST" {
			t.Errorf("%s: left out %v", format, left)
		}
	}
	if text, _, err := envText(t, "json"); err != nil || text != "{}\n" {
		t.Errorf("no variables: %q, %v", text, err)
	}
	if _, _, err := envText(t, "csv"); err == nil {
		t.Error("an unknown format was taken")
	}
	for _, name := range []string{"", "A B", "A=B", "A\nB", "a", "A\x00", "Ä", "A-B", "#A"} {
		for _, format := range []string{"dotenv", "export", "systemd"} {
			if text, _, err := envText(t, format, envvars.Variable{Name: name, Value: "1"}); err == nil || text != "" {
				t.Errorf("%s: the name %q was taken: %q", format, name, text)
			}
		}
	}
}

// envReaders read what each format is made for reads.
var envReaders = map[string][]func(t testing.TB, text string) map[string]string{
	"dotenv":  {dockerReads, libraryReads, sourced, systemdReads},
	"export":  {shellReads},
	"json":    {jsonReads},
	"systemd": {systemdReads},
}

func libraryReads(t testing.TB, text string) map[string]string {
	t.Helper()
	out, err := gotenv.StrictParse(strings.NewReader(text))
	if err != nil {
		t.Fatalf("gotenv: %v\n%s", err, text)
	}
	return out
}

// sourced reads assignments as a shell does that is told to export them.
func sourced(t testing.TB, text string) map[string]string {
	t.Helper()
	return shellReads(t, "set -a\n"+text)
}

func jsonReads(t testing.TB, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// shellReads gives what is in the environment after a script, of what was not there before.
func shellReads(t testing.TB, script string) map[string]string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script+"\nexec env -0")
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh: %v\n%s", err, script)
	}
	out := map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		if name, value, _ := strings.Cut(entry, "="); strings.Contains(name, "_SERVICE_") {
			out[name] = value
		}
	}
	return out
}

// dockerReads reads as docker run --env-file does (its reference): a line each, "#" begins a comment line, and what is
// after the "=" is the value, quotes and all.
func dockerReads(t testing.TB, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found || strings.ContainsAny(name, " \t") {
			t.Fatalf("docker would not take the line %q", line)
		}
		out[name] = value
	}
	return out
}

// systemdReads reads as systemd.exec(5) says of EnvironmentFile=. What the page leaves open or warns of fails.
func systemdReads(t testing.TB, text string) map[string]string {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("not UTF-8: %q", text)
	}
	out := map[string]string{}
	for len(text) > 0 {
		name, rest, found := strings.Cut(text, "=")
		if !found || strings.ContainsAny(name, "\n;# \t'\"\\") || name == "" || '0' <= name[0] && name[0] <= '9' {
			t.Fatalf("no assignment: %q", text)
		}
		var value strings.Builder
		quoted := strings.HasPrefix(rest, `"`)
		rest = strings.TrimPrefix(rest, `"`)
	characters:
		for {
			if rest == "" {
				t.Fatalf("no end of the value of %s", name)
			}
			c := rest[0]
			rest = rest[1:]
			switch {
			case quoted && c == '\\':
				if rest == "" || !strings.ContainsRune("\"\\`$", rune(rest[0])) {
					t.Fatalf("a backslash before %q", rest)
				}
				value.WriteByte(rest[0])
				rest = rest[1:]
			case quoted && c == '"', !quoted && c == '\n':
				break characters
			case !quoted && strings.ContainsRune("\\'\" \t\r", rune(c)):
				t.Fatalf("%q in an unquoted value", c)
			default:
				value.WriteByte(c)
			}
		}
		if quoted {
			if rest, found = strings.CutPrefix(rest, "\n"); !found {
				t.Fatalf("more after the value of %s: %q", name, rest)
			}
		}
		out[name], text = value.String(), rest
	}
	return out
}

// generatorReads has systemd's own parser read the text, where there is one without a running systemd: the generator for
// environment.d(5), whose files are environment files. It gives false where there is none.
func generatorReads(t testing.TB, text string) (read map[string]string, there bool) {
	t.Helper()
	const generator = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
	if _, err := os.Stat(generator); errors.Is(err, os.ErrNotExist) {
		return nil, false
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "environment.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "environment.d", "a.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(generator)
	cmd.Env = []string{"XDG_CONFIG_HOME=" + dir, "HOME=" + dir, "PATH=/usr/bin:/bin"}
	script, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", generator, err)
	}
	return sourced(t, string(script)), true // it writes for a shell
}

// checkEnvRoundTrip writes values in each format: each must be read back exactly, or have been refused.
func checkEnvRoundTrip(t testing.TB, values []string) (held map[string]int) {
	t.Helper()
	held = map[string]int{}
	for _, format := range EnvFormats {
		var variables []envvars.Variable
		want := map[string]string{}
		for i, value := range values {
			v := envvars.Variable{Name: "A" + strings.Repeat("_", i+1) + "_SERVICE_HOST", Value: value}
			if _, _, err := envText(t, format, v); err == nil {
				variables, want[v.Name] = append(variables, v), value
			}
		}
		held[format] = len(want)
		text, left, err := envText(t, format, variables...)
		if err != nil || len(left) > 0 {
			t.Fatalf("%s: %v, left out %v", format, err, left)
		}
		for i, read := range envReaders[format] {
			if d := cmp.Diff(want, read(t, text)); d != "" {
				t.Errorf("%s, reader %d (-want +got)\n%s", format, i, d)
			}
		}
		if format != "systemd" {
			continue
		}
		// The files of environment.d(5) differ in that variables are expanded in them, and that an empty one is none.
		special := func(v envvars.Variable) bool { return v.Value == "" || strings.Contains(v.Value, "$") }
		maps.DeleteFunc(want, func(name, value string) bool { return special(envvars.Variable{Name: name, Value: value}) })
		text, _, _ = envText(t, format, slices.DeleteFunc(variables, special)...)
		if got, there := generatorReads(t, text); there {
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("systemd itself (-want +got)\n%s", d)
			}
		}
	}
	return held
}

// TestEnvIsReadBack has values of everything that means something to one of the readers.
func TestEnvIsReadBack(t *testing.T) {
	values := []string{
		"", "10.96.0.1", "tcp://[fd00::1]:80", hostile, strings.ToValidUTF8(hostile, ""), "'", "''", `'"'"'`, `\`, `\\`, `\'`,
		`"`, "`id`", "$(id)", "$HOME", "${HOME}", "a b", " a ", "\ta\t", "a\nB=c", "a\n'\nexport X_SERVICE_Y=1", "a\\\n", "#", "a #b",
		"a;id", "a&b|c>d<e", "*", "~", "{a,b}", "!!", "%n", "\u00e4\u65e5\U0001f469", "\ufeff", "\uffff", "\ufdd0", "\x80", "a\x00b",
	}
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("a'\"\\`$(){}[]#;&|<>*?~!%= \t\n\r\x01\x1b\x7f\u0085\u2028\u202e\ufeffä日")
	for range 200 {
		value := make([]rune, r.IntN(12))
		for i := range value {
			value[i] = alphabet[r.IntN(len(alphabet))]
		}
		values = append(values, string(value))
	}
	held := checkEnvRoundTrip(t, values)
	// A format that refused everything would pass the above.
	if held["dotenv"] < 3 || held["export"] < len(values)-3 || held["json"] < len(values)-2 || held["systemd"] < 50 {
		t.Errorf("of %d values were held: %v", len(values), held)
	}
}

func FuzzEnv(f *testing.F) {
	f.Add("")
	f.Add("10.96.0.1")
	f.Add(hostile)
	f.Add("'\"\\`$(id)\n")
	f.Fuzz(func(t *testing.T, value string) {
		checkEnvRoundTrip(t, []string{value})
	})
}

// TestEnvFormatsAreAllRead keeps a new format from going without a reader.
func TestEnvFormatsAreAllRead(t *testing.T) {
	if got := slices.Sorted(maps.Keys(envReaders)); !slices.Equal(got, EnvFormats) {
		t.Errorf("readers of %v, formats %v", got, EnvFormats)
	}
	if _, err := Env(io.Discard, "dotenv", nil); err != nil {
		t.Error(err)
	}
}
