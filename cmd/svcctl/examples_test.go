package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"

	"github.com/svcctl/svcctl/internal/manual"
)

// promise is what an example must do. The zero promise, of a line that is not in examplePromises, is to end with exit code
// 0 and to say something.
type promise struct {
	before  string // what has to have been done, in the shell
	after   string // what tidies up
	code    int
	want    string // what is said matches it, or what the file that is written has
	file    string // that is written, where "> FILE" does not say so
	quiet   bool   // nothing is said
	forever bool   // it goes on until it is interrupted
}

const applyServices = "svcctl apply -f services/ >/dev/null"

// examplePromises are the promises of the examples that are not like most.
var examplePromises = map[string]promise{
	"svcctl allocate -f services/":            {want: "drawn"},
	"svcctl allocate -f services/ -R --write": {after: "grep -q 'clusterIP.*10' services/demo.yaml", want: "drawn"},

	"svcctl apply -f /etc/svcctl/services": {want: `service/web unchanged`},
	"kubectl get svc,endpointslices,pods -A -o yaml | svcctl apply -f -": {
		want: `(?s)service/one created.*service/web pruned`,
	},
	"svcctl apply -f services/ --dry-run": {want: `service/web created \(dry run\)`},
	"svcctl apply -f services/ --confirm=60s": {
		before: "svcctl delete --all >/dev/null", after: "svcctl confirm >/dev/null", want: `unless "svcctl confirm" comes before`,
	},
	"svcctl apply -f one.yaml --prune=false": {want: `(?s)service/one created.*service/web unchanged`},

	// The namespace of the examples has no routes.
	"svcctl check -f services/":         {code: exitDifferent, want: `(?m)^  no +IPv4: net\.ipv4\.ip_forward is 0`},
	"svcctl check":                      {before: applyServices, code: exitDifferent, want: `(?m)applied services?: \d+ problems`},
	"svcctl check -f services/ -o json": {code: exitDifferent, want: `"asked": "manifests"`},

	"svcctl completion bash > /usr/share/bash-completion/completions/svcctl": {want: "complete -o default"},
	"svcctl completion zsh > \"${fpath[1]}/_svcctl\"": {
		before: "fpath=(none $HOME)", file: "home/_svcctl", want: "#compdef svcctl",
	},
	"svcctl completion fish > ~/.config/fish/completions/svcctl.fish": {
		file: "home/.config/fish/completions/svcctl.fish",
	},

	"svcctl confirm": {before: "svcctl apply -f one.yaml --confirm=60s >/dev/null 2>&1", want: "^confirmed$"},

	"svcctl delete --all":                              {want: `service "web" deleted`},
	"svcctl delete -f old.yaml":                        {before: applyServices, want: `^service "old" deleted$`},
	"svcctl describe service web -n demo":              {want: `Name: +web\n`},
	"svcctl describe service/web -n demo -f services/": {want: `Endpoints: +10\.1\.0\.29:8080,10\.1\.0\.30:8080`},
	"svcctl describe services -A -l app=web":           {want: `(?s)Name: +dns.*Name: +web`},

	"svcctl diff -f services/": {
		before: "svcctl apply -f main/services >/dev/null", code: exitDifferent, want: `\+ endpoint 10\.1\.0\.30:8080`,
	},
	"svcctl diff -f services/ --base main/services/": {
		code: exitDifferent, want: `\+ endpoint 10\.1\.0\.30:8080`,
	},
	"svcctl diff -f services/ --base main/services/ -o markdown": {code: exitDifferent, want: `(?m)^\| |^#`},
	"svcctl diff -f services/ --base rendered.nft": {
		before: "svcctl render -f main/services >rendered.nft", code: exitDifferent, want: `(?m)^\+.*10\.1\.0\.30`,
	},

	"svcctl dns hosts -f services/ > hosts.services": {
		want: `(?m)^10\.111\.193\.186\s+web\.demo\.svc\.cluster\.local`,
	},
	"svcctl dns hosts": {want: `web\.demo\.svc\.cluster\.local`},
	"svcctl dns serve": {forever: true, want: "serving cluster.local"},
	"svcctl dns serve -f services/ --listen 127.0.0.1:5353 --listen '[::1]:5353'": {
		forever: true, want: `on 127\.0\.0\.1:5353 and \[::1\]:5353`,
	},
	"dig @127.0.0.1 -p 5353 web.demo.svc.cluster.local": {
		before: "svcctl dns serve 2>serving & until grep -q serving serving; do sleep 0.02; done", after: "kill $!",
		want: `IN\s+A\s+10\.111\.193\.186`,
	},
	"svcctl dns zone cluster.local -f services/": {want: `web\.demo\.svc`},
	"svcctl dns zone -f services/ --output-dir /etc/bind/svcctl --name-server ns1.example.com": {
		file: "etc/bind/svcctl/cluster.local.zone", want: `ns1\.example\.com\.`,
	},

	"svcctl env -n demo": {want: `WEB_SERVICE_HOST=10\.111\.193\.186`},
	"svcctl env -n demo -f services/ -o systemd > /etc/default/demo-services": {
		want: `WEB_SERVICE_HOST="10\.111\.193\.186"`,
	},
	"docker run --env-file <(svcctl env -n demo) app": {
		want: `WEB_SERVICE_HOST=10\.111\.193\.186`,
	},

	"svcctl explain 192.168.0.2 10.111.193.186:80/tcp -f services/":       {want: `10\.1\.0\.29:8080`},
	"svcctl explain 10.1.0.29 10.96.0.10:53/udp":                          {want: `10\.1\.0\.53:53`},
	"svcctl explain fd00:c0::2 '[fd00:10:96::1]:80' -f services/ -o json": {want: `fd00:c0::7`},

	"svcctl get services": {want: `(?m)^dns +ClusterIP`},
	"svcctl get svc,endpointslices -A -o wide": {
		want: `(?s)service/web .*web-1`,
	},
	"svcctl get svc web -n demo -o jsonpath='{.spec.clusterIP}' -f services/": {
		want: `^10\.111\.193\.186$`,
	},
	"svcctl get svc -l app=web --sort-by=.spec.clusterIP": {
		want: `(?m)^dns `,
	},
	"svcctl get ep -A --watch --output-watch-events": {
		forever: true, want: `ADDED +demo +web `,
	},

	"svcctl help apply":    {want: "svcctl apply -f PATH"},
	"svcctl help dns zone": {want: "svcctl dns zone "},

	"svcctl render -f services/ > rendered.nft":                              {want: `table ip svcctl`},
	"svcctl render -f services/ -o svg --service demo/web > web.svg":         {want: `<svg`},
	"svcctl render -f services/ -o dot --view rules | dot -Tsvg > rules.svg": {want: `<svg`},
	"svcctl render -f services/ --dump-after=services":                       {want: `map services`},

	"svcctl rollback": {
		before: "for i in 1 2 3 4; do svcctl apply -f main/services; svcctl apply -f services; done >/dev/null",
		want:   `back to state \d+`,
	},
	"svcctl rollback --list": {want: `(?m)^7 `},
	"svcctl rollback --to 7": {want: `back to state 7`},

	"svcctl stats":                 {want: `10\.111\.193\.186:80`},
	"svcctl stats -o wide --watch": {forever: true, want: `10\.1\.0\.29:8080`},
	"svcctl stats -o prometheus > svcctl.prom.tmp && mv svcctl.prom.tmp svcctl.prom": {
		file: "svcctl.prom", want: `(?m)^# TYPE svcctl_`,
	},

	"svcctl status":                {want: `Kernel: +has what was applied`},
	"svcctl status -o json":        {want: `"drifted": false`},
	"svcctl validate -f services/": {want: `^5 services, 6 endpoints: valid$`},
	"svcctl verify":                {quiet: true},
	"svcctl verify --repair":       {before: "nft flush map ip svcctl endpoints", want: `repaired`},
	"svcctl verify -o json":        {want: `"differences": \[\]`},
	"svcctl version -o json":       {want: `"goVersion"`},
}

// TestExamples runs every example of every command as it stands in --help, in a network namespace of the command's own
// where services/ is applied, and in a directory in which the files it names are. Paths below /etc and /usr are below
// that directory instead.
func TestExamples(t *testing.T) {
	root := helpTree()
	root.InitDefaultHelpCmd()
	commands := manual.Commands(root)
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string]bool{}
	for line := range examplePromises {
		unused[line] = true
	}
	for _, cmd := range append(commands[1:], help) {
		if len(exampleLines(cmd)) == 0 {
			t.Errorf("%q has no examples: give its definition an Example, which is run here", cmd.CommandPath())
		}
		for _, line := range exampleLines(cmd) {
			delete(unused, line)
		}
	}
	for line := range unused {
		t.Errorf("examplePromises has %q, which is no example of any command any more", line)
	}
	if testing.Short() {
		t.Skip("a hundred processes: not in short mode")
	}
	if ok, err := haveNamespaces(); err != nil {
		t.Fatal(err)
	} else if !ok {
		t.Skipf("examples need network namespaces: %s", os.Getenv(insideVariable))
	}
	for _, cmd := range append(commands[1:], help) {
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "-"), func(t *testing.T) {
			t.Parallel()
			runExamples(t, cmd)
		})
	}
}

func exampleLines(cmd *cobra.Command) []string {
	var out []string
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func runExamples(t *testing.T, cmd *cobra.Command) {
	t.Helper()
	if err := enterNamespace(); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}}); err != nil {
		t.Fatal(err)
	}
	s := &exampleShell{dir: exampleFiles(t)}
	if out, err := s.command(t.Context(), applyServices).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range exampleLines(cmd) {
		p := examplePromises[line]
		said, err := s.run(t.Context(), line, p)
		if err != nil {
			t.Errorf("the example %q of %q: %v\n%s\nIf that is as it should be, say so in examplePromises.",
				line, cmd.CommandPath(), err, said)
		}
	}
}

// exampleFiles makes the directory in which the examples run.
func exampleFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	archive, err := txtar.ParseFile("testdata/examples.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		write(t, filepath.Join(dir, f.Name), f.Data)
		if strings.HasPrefix(f.Name, "bin/") {
			if err := os.Chmod(filepath.Join(dir, f.Name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, sub := range []string{
		"etc/svcctl", "etc/default", "etc/bind/svcctl", "usr/share/bash-completion/completions", "home/.config/fish/completions",
	} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../services", filepath.Join(dir, "etc/svcctl/services")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config.yaml"), []byte("counters: true\nnodeName: node-a\n"))
	return dir
}

// exampleShell runs lines as a shell does that somebody types them into.
type exampleShell struct{ dir string }

func (s *exampleShell) command(ctx context.Context, script string) *exec.Cmd {
	for _, system := range []string{"/etc/", "/usr/share/"} {
		script = strings.ReplaceAll(script, " "+system, " "+s.dir+system)
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(),
		"PATH="+s.dir+"/bin:"+os.Getenv("PATH")+":/usr/sbin:/sbin", "HOME="+s.dir+"/home",
		"SVCCTL_STATE_DIR="+s.dir+"/state", "SVCCTL_CONFIG="+s.dir+"/config.yaml", "SVCCTL_CHECK_HOST=false")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

var redirected = regexp.MustCompile(`> (\S+)$`)

// run runs an example, and compares what came of it with what was promised.
func (s *exampleShell) run(ctx context.Context, line string, p promise) (said string, err error) {
	pattern, err := regexp.Compile(p.want)
	if err != nil {
		return "", err
	}
	if p.forever {
		return s.runForever(ctx, line, pattern)
	}
	script := line
	if p.before != "" || p.after != "" {
		script = p.before + "\n" + line + "\ncode=$?\n" + p.after + " || exit 99\nexit $code"
		script = strings.Replace(script, "\n || exit 99", "", 1)
	}
	out, err := s.command(ctx, script).CombinedOutput()
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return string(out), err
	}
	if code != p.code {
		return string(out), fmt.Errorf("it ends with exit code %d, want %d", code, p.code)
	}
	file := p.file
	if m := redirected.FindStringSubmatch(line); m != nil && file == "" {
		file = strings.TrimPrefix(m[1], "/")
	}
	if file != "" {
		if out, err = os.ReadFile(filepath.Join(s.dir, file)); err != nil {
			return "", err
		}
	}
	switch {
	case p.quiet && len(out) > 0:
		return string(out), errors.New("it says something")
	case !p.quiet && len(bytes.TrimSpace(out)) == 0:
		return "", errors.New("it says nothing")
	case !pattern.Match(bytes.TrimSpace(out)):
		return string(out), fmt.Errorf("what it says does not match %q", p.want)
	default:
		return string(out), nil
	}
}

// runForever runs an example until it has said what was promised, and interrupts it.
func (s *exampleShell) runForever(ctx context.Context, line string, want *regexp.Regexp) (string, error) {
	name := filepath.Join(s.dir, "said")
	file, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	cmd := s.command(ctx, "exec "+line)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return "", err
	}
	deadline := time.Now().Add(time.Minute) // only a failure takes as long
	said := []byte{}
	for !want.Match(said) && time.Now().Before(deadline) && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
		if said, err = os.ReadFile(name); err != nil {
			break
		}
	}
	interruptErr := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	err = errors.Join(err, interruptErr, cmd.Wait())
	if err == nil && !want.Match(said) {
		err = fmt.Errorf("what it says does not match %q", want)
	}
	return string(said), err
}
