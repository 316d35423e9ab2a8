package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/svcctl/svcctl/internal/netlab"
	"github.com/svcctl/svcctl/internal/workload"
)

// profileSource is added to the package of the command line, for the profiled build only: the program as it is, with the
// profiler around it. The product itself has no switch for that.
const profileSource = `package main

import (
	"os"
	"runtime/pprof"
	"time"
)

func init() {
	path := os.Getenv("SVCCTL_BENCH_PROFILE")
	if path == "" {
		return
	}
	f, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		panic(err)
	}
	code := run(time.Now)
	pprof.StopCPUProfile()
	if err := f.Close(); err != nil {
		panic(err)
	}
	os.Exit(code)
}
`

// profileRuns is how many processes a profile is the sum of: one of half a second has too few samples.
const profileRuns = 4

// profiles shows where the first apply and that of one endpoint less spend their time.
func (b *bench) profiles(ctx context.Context) error {
	program, err := b.buildProfiled(ctx)
	if err != nil {
		return err
	}
	s := size{10_000, 10, workload.IPv4}
	full, err := b.manifests("services", s.workload())
	if err != nil {
		return err
	}
	less, err := b.manifests("less", s.less())
	if err != nil {
		return err
	}
	var first, change []string
	for k := range profileRuns {
		note("profile: run %d", k+1)
		if err := inLab(ctx, func(ns *netlab.Namespace) error {
			state, err := os.MkdirTemp(b.dir, "state-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(state)
			for _, step := range []struct {
				path  string
				files *[]string
				name  string
			}{{full, &first, "first"}, {less, &change, "less"}, {full, &change, "more"}} {
				out := filepath.Join(b.dir, fmt.Sprintf("%s-%d.pprof", step.name, k))
				if err := profiled(ctx, ns, out, program, applyArgs(ns, state, step.path)); err != nil {
					return err
				}
				*step.files = append(*step.files, out)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "CPU time of `svcctl apply`, %s, the sum of %d processes, from Go's profiler.\n\n", s, profileRuns)
	if err := b.printProfile(ctx, "The first apply", program, first); err != nil {
		return err
	}
	return b.printProfile(ctx, "One endpoint less or more", program, change)
}

// buildProfiled builds the program with the profiler in it. The run is at the top of the source tree, as make's are.
func (b *bench) buildProfiled(ctx context.Context) (program string, err error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	source := filepath.Join(b.dir, "profile.go")
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(root, "cmd", "svcctl", "zz_profile.go"): source}, // the last init to run
	})
	if err != nil {
		return "", err
	}
	list := filepath.Join(b.dir, "overlay.json")
	if err := os.WriteFile(source, []byte(profileSource), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(b.dir, "svcctl-profiled")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-o", program, "./cmd/svcctl")
	cmd.Stderr = os.Stderr
	return program, cmd.Run()
}

func profiled(ctx context.Context, ns *netlab.Namespace, out, program string, args []string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "SVCCTL_BENCH_PROFILE="+out)
	cmd.Stderr = os.Stderr
	if err := ns.Do(cmd.Run); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// printProfile prints the functions that the time is spent in: by themselves, and of our own with all that they call.
func (b *bench) printProfile(ctx context.Context, title, program string, profiles []string) error {
	fmt.Fprintf(b.out, "%s:\n\n", title)
	self := table{head: []string{"function itself", "share"}}
	lines, err := pprofTop(ctx, program, profiles, "-flat")
	if err != nil {
		return err
	}
	for _, l := range lines[:min(8, len(lines))] {
		self.add("`"+l.function+"`", l.flat)
	}
	self.print(b.out)
	total := table{head: []string{"entry point of a package, or of a goroutine, with all that it calls", "share"}}
	lines, err = pprofTop(ctx, program, profiles, "-cum")
	if err != nil {
		return err
	}
	for _, l := range lines {
		if len(total.rows) < 14 && entryPoint.MatchString(l.function) {
			total.add("`"+strings.TrimPrefix(l.function, "svcctl/")+"`", l.cumulative)
		}
	}
	total.print(b.out)
	return nil
}

// entryPoint matches exported functions and methods of ours, and functions without a name, which are what goroutines begin
// with. All others are within these. The command line's own contain one another and all else.
var entryPoint = regexp.MustCompile(`^svcctl/[^c].*\.(func\d+|[A-Z]\w*)$|^svcctl/c[^m].*\.(func\d+|[A-Z]\w*)$`)

// profileLine is a line of pprof's -top.
type profileLine struct{ function, flat, cumulative string }

// topLine is: flat flat% sum% cum cum% name.
var topLine = regexp.MustCompile(`^\s*\S+\s+(\S+%)\s+\S+%\s+\S+\s+(\S+%)\s+(.+)$`)

// typeArguments are those of a generic function, which may be a whole struct.
var typeArguments = regexp.MustCompile(`\[go\.shape.*\]`)

func pprofTop(ctx context.Context, program string, profiles []string, order string) ([]profileLine, error) {
	args := append([]string{"tool", "pprof", "-top", order, "-nodecount=400", "-nodefraction=0.005", program}, profiles...)
	cmd := exec.CommandContext(ctx, "go", args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("pprof: %w: %s", err, problems.String())
	}
	var lines []profileLine
	for line := range strings.Lines(out.String()) {
		if m := topLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			name := strings.TrimSuffix(m[3], " (inline)")
			name = typeArguments.ReplaceAllString(name, "")
			name = strings.Replace(name, "github.com/svcctl/svcctl/", "svcctl/", 1)
			if strings.HasPrefix(name, "main.") {
				name = "svcctl/cmd/svcctl." + strings.TrimPrefix(name, "main.")
			}
			lines = append(lines, profileLine{name, m[1], m[2]})
		}
	}
	return lines, nil
}
