package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// screen is the text that is shown, and what turned out not to be as claimed.
type screen struct {
	w      io.Writer
	svcctl string   // absolute path
	global []string // the options that are left out of what is shown
	faults []error
}

// printf shows a line.
func (s *screen) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, format+"\n", args...)
}

// claim notes a fault where something that the screen says is not so.
func (s *screen) claim(ok bool, format string, args ...any) {
	if !ok {
		s.faults = append(s.faults, fmt.Errorf(format, args...))
	}
}

// run runs svcctl and shows what it prints, at most so many lines of it; those alone that have one of the given prefixes,
// if any. It insists on the exit code.
func (s *screen) run(ctx context.Context, show shown, args ...string) error {
	s.printf("$ svcctl %s%s", strings.Join(args, " "), show.remark)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.svcctl, append(slices.Clone(args), s.global...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = environment()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("%s: %w (make build)", s.svcctl, err)
	}
	if code := cmd.ProcessState.ExitCode(); code != show.exit {
		return fmt.Errorf("svcctl %s: exit code %d, want %d: %s", args[0], code, show.exit, strings.TrimSpace(stderr.String()))
	}
	lines := show.pick(strings.Split(strings.TrimRight(stdout.String(), "\n"), "\n"))
	s.claim(len(lines) > 0, "svcctl %s showed nothing", args[0])
	for _, line := range lines {
		s.printf("  %s", line)
	}
	return nil
}

// shown says how a command is shown.
type shown struct {
	remark   string   // behind the command
	exit     int      // its exit code
	prefixes []string // of the lines to show; all where there are none
	lines    int      // how many at most; 0: all
}

func (show shown) pick(lines []string) []string {
	var out []string
	for _, line := range lines {
		wanted := func(prefix string) bool { return strings.HasPrefix(line, prefix) }
		if line == "" || len(show.prefixes) > 0 && !slices.ContainsFunc(show.prefixes, wanted) {
			continue
		}
		if r := []rune(line); len(r) > width-2 {
			line = string(r[:width-3]) + "…"
		}
		out = append(out, line)
	}
	if show.lines > 0 && len(out) > show.lines {
		more := len(out) - show.lines + 1
		out = append(out[:show.lines-1], fmt.Sprintf("… and %d lines more", more))
	}
	return out
}

// width is how many columns a line of the screen has at most.
const width = 100

// environment is this process's own without settings of svcctl.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "SVCCTL_") })
}

// chart shows who answered how often, and claims that nothing was lost and that the requests were spread over exactly
// these pods: each at least half of its fair share.
func (s *screen) chart(c *tally, all, serving []netip.Addr) {
	const columns = 60
	s.claim(c.lost == 0, "%d of %d requests lost: %w", c.lost, c.total(), c.err)
	for _, pod := range all {
		n := c.answers[pod]
		s.printf("  %s  %-*s %d", pod, columns*3/4, strings.Repeat("▇", n*columns/max(c.total(), 1)), n)
		if slices.Contains(serving, pod) {
			s.claim(n*len(serving)*2 >= c.total(), "%s answered only %d of %d requests", pod, n, c.total())
		} else {
			s.claim(n == 0, "%s answered %d requests and serves no more", pod, n)
		}
	}
}

// configure writes the configuration for the demonstration and has every svcctl use it.
func (s *screen) configure(dir, netns string) error {
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("clusterCIDRs: [10.1.0.0/16]\n"), 0o600); err != nil {
		return err
	}
	s.global = []string{"--netns", netns, "--state-dir", filepath.Join(dir, "state"), "--config", config}
	return nil
}
